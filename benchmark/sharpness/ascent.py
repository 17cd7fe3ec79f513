"""Sharpness as the rise of the loss after one step of ascent, to first order to the worst point of a ball."""

from torch import Tensor
from torch.func import vmap

from benchmark.sharpness.neighbourhood import Neighbourhood
from optimizers import rules

# What cells are compared at, whatever rho they were trained with: the values that Foret et al. and Kwon et al. take
# for CIFAR-10. A ball of the adaptive measure stretches with the weights, so that its radius is a relative one.
ASCENT_RHO = {"sam": 0.05, "monge": 0.05, "adaptive": 0.5}


def ascent_sharpness(measure: str, around: Neighbourhood, rho: float | None = None) -> Tensor:
    """Return l(theta + delta) - l(theta) of each cell, (cells,), delta the perturbation of a rule.

    `sam`: delta = rho g/||g||. `monge`: delta = rho g/(||g|| sqrt(1 + ||g||^2)), that of Monge SAM. `adaptive`: delta =
    rho T^2 g/||T g|| with T = |w|, on biases as well and without an offset: the only one of them that the rescaling of
    layers leaves alone (`benchmark.sharpness.rescaling`). Each is the value after this one step, which is the maximum
    over the ball to first order, and no more than a lower bound of it. Where g = 0 it is 0.

    Args:
        measure: sam, monge or adaptive.
        around: the losses and their gradients.
        rho: radius > 0; by default that of `ASCENT_RHO`.
    """
    radius = ASCENT_RHO[measure] if rho is None else rho

    def delta(gradients: list[Tensor], parameters: list[Tensor]) -> list[Tensor]:
        if measure == "adaptive":
            ascent = rules.asam(gradients, parameters, [True] * len(parameters), eta=0.0)
        else:
            ascent = (rules.sam if measure == "sam" else rules.msam)(gradients)
        return rules.perturbation(ascent, radius)

    # the difference in the losses' own precision, for they are near each other
    parameters = [parameter.detach() for parameter in around.parameters]
    return around.values_at(vmap(delta)(around.gradients, parameters)) - around.values
