"""Members that keep nothing from one update to the next.

All are built alike, ``SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9)``: parameters, the
class of the base optimizer, then by name the rule's hyperparameters, those of :class:`TwoPassOptimizer` and the
base's. Every rule takes ``rho_warmup``, the share of ``total_steps`` over which rho grows linearly from 0. A constant
radius is ``SAM`` with that ``rho``: its perturbation has exactly that length at every step.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from optimizers import rules
from optimizers.foreach import Foreach
from optimizers.layout import Active
from optimizers.rule_hyperparameters import of_projection, table
from optimizers.rules import Ascent
from optimizers.two_pass import TwoPassOptimizer

__all__ = ["ASAM", "GD", "MSAM", "SAM", "USAM", "FisherSAM", "is_weight"]


class GD(TwoPassOptimizer):
    """The base optimizer alone, counted and measured like the rest. One gradient evaluation a step.

    Args:
        arguments: those of :class:`TwoPassOptimizer`; there is no hyperparameter of its own.
    """

    @property
    def needs_first_gradient(self) -> bool:
        """False: the only pass is the one the base steps with."""
        return False

    @property
    def _needs_first_step(self) -> bool:
        return False

    def _candidates(self) -> Active:
        return Active((), (), ())


class SAM(TwoPassOptimizer):
    """Sharpness-aware minimization: delta = rho g / ||g||. Two gradient evaluations a step.

    Foret, Kleiner, Mobahi, Neyshabur, *Sharpness-Aware Minimization for Efficiently Improving Generalization*, 2020,
    arXiv 2010.01412.

    Args:
        rho: radius, >= 0; usual .01-.5.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.05)

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        return rules.sam(active.gradients, ops=ops)


class USAM(TwoPassOptimizer):
    """Unnormalised SAM: delta = rho g. Two gradient evaluations a step.

    Andriushchenko, Flammarion, *Towards Understanding Sharpness-Aware Minimization*, 2022, arXiv 2206.06232.

    Args:
        rho: factor of the gradient, >= 0; usual .01-.5.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.05)

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        return rules.usam(active.gradients, ops=ops)


class MSAM(TwoPassOptimizer):
    """Monge SAM: delta = rho g / (||g|| sqrt(1 + ||g||^2)). Two gradient evaluations a step.

    Not Momentum-SAM, which goes by the same letters in print and is :class:`MomentumSAM`. It is not invariant to the
    loss's scale: take the mean over a batch or the sum, but always the same; and under a gradient scaler give
    ``first_step`` the scale.

    Jacobsen, Arvanitidis, *Monge SAM: Robust Reparameterization-Invariant Sharpness-Aware Minimization Based on Loss
    Geometry*, 2025, arXiv 2502.08448.

    Args:
        rho: radius in the Monge metric I + g g^T, >= 0; usual .005-.05 on CLIP.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.05)

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        return rules.msam(active.gradients, ops=ops)


class ASAM(TwoPassOptimizer):
    """Adaptive SAM: delta = rho T^2 g / ||T g||, T = |w| + eta on weights, 1 on biases. Two evaluations a step.

    What is a bias: a parameter of a group with ``"adaptive": False``; else by name, where the optimizer was given
    named parameters; else a parameter of one dimension or none. ``"adaptive": True`` makes weights of a whole group.

    Kwon, Kim, Park, Choi, *ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural
    Networks*, 2021, arXiv 2102.11600.

    Args:
        rho: radius, >= 0; usual .5-1.
        eta: offset of the stretching, >= 0; usual .01.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.5, of_projection("eta", 0.01, "offset of the stretching"))

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        kinds = [is_weight(group, place) for group in self.param_groups for place in range(len(group["params"]))]
        chosen = [kinds[index] for index in active.indices]
        return rules.asam(active.gradients, active.parameters, chosen, eta=self.param_groups[0]["eta"], ops=ops)


def is_weight(group: Mapping[str, Any], place: int) -> bool:
    """Return whether a parameter of a group is a weight, as :class:`ASAM` says; else it is a bias."""
    if group.get("adaptive") is not None:
        return bool(group["adaptive"])
    if "param_names" in group:
        return "bias" not in group["param_names"][place].rpartition(".")[2]
    return bool(group["params"][place].ndim > 1)


class FisherSAM(TwoPassOptimizer):
    """Fisher SAM: delta = rho f^-1 g / sqrt(g^T f^-1 g), f = 1 + eta g^2 elementwise. Two evaluations a step.

    Kim, Li, Hu, Hospedales, *Fisher SAM: Information Geometry and Sharpness Aware Minimisation*, 2022,
    arXiv 2206.04920.

    Args:
        rho: radius in the metric f, >= 0.
        eta: weight of Fisher's metric, >= 0; usual .2-1.
        arguments: those of :class:`TwoPassOptimizer`.
    """

    hyperparameters: ClassVar = table(0.1, of_projection("eta", 0.2, "weight of Fisher's metric beside the identity"))

    def _ascent(self, active: Active, ops: Foreach) -> Ascent:
        return rules.fisher_sam(active.gradients, eta=self.param_groups[0]["eta"], ops=ops)
