"""What is known of an optimizer that can be named: what it takes, what it costs, and where it comes from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.optim import Optimizer

from optimizers.algebra import Plain
from optimizers.elementwise import Scalar, Tensors
from optimizers.hyperparameter import Hyperparameter, Value
from optimizers.rules import Ascent
from optimizers.two_pass import TwoPassOptimizer

__all__ = ["Direction", "OptimizerInfo", "Seen", "Source", "along"]


@dataclass(frozen=True)
class Source:
    """A publication.

    Attributes:
        authors: their names.
        title: its title.
        year: of the first version.
        arxiv: its number there; empty for one that is not there.
    """

    authors: str
    title: str
    year: int
    arxiv: str


class Seen(NamedTuple):
    """What a rule sees at theta. Nothing of it may be written to.

    Attributes:
        gradients: one tensor a parameter.
        parameters: theta, one tensor a gradient.
        is_weight: for each parameter whether it is a weight; else it is a bias.
        hyperparameters: the rule's own by name, without the radius: numbers, or 0-dim tensors where many cells are
            trained at once.
    """

    gradients: Tensors
    parameters: Tensors
    is_weight: Sequence[bool]
    hyperparameters: Mapping[str, Scalar]


Direction = Callable[[Seen], Sequence[Tensor]]
"""A rule as a pure function: where to perturb to, one new tensor a parameter."""


def along(direction: Direction, seen: Seen, *, normalised: bool, ops: Plain) -> Ascent:
    """Return the perturbation along a direction, up to its radius: of length 1, or as long as the direction is.

    There is none where the gradient or the direction is not finite, nor where a direction of length 0 is to be
    normalised.

    Args:
        direction: the rule.
        seen: what it sees.
        normalised: whether the length of the direction is to be taken out.
        ops: the arithmetic.
    """
    gradient_norm = ops.norm(seen.gradients)
    ways = list(direction(seen))
    norm = ops.norm(ways)
    length = ops.reciprocal(norm) if normalised else ops.finite(1 + 0 * norm)
    return Ascent(ways, length * ops.finite(1 + 0 * gradient_norm), norm, gradient_norm)


@dataclass(frozen=True)
class OptimizerInfo:
    """One optimizer.

    Attributes:
        name: as in a spec.
        title: as in a table.
        cls: the class of a rule over a base; None of an optimizer that has no base under it.
        hyperparameters: its own, by name, in order.
        cost: gradient evaluations a step, as a function of the hyperparameters' values.
        source: where it comes from; None for plain gradient descent, and where it was not said.
        usual: values in use, in words.
        direction: of a rule that is a user's own, which the fused path takes as well.
        normalised: whether its perturbation has the length rho, whatever that of the direction.
        make: of an optimizer without a base, what makes it of parameters and values by name.
    """

    name: str
    title: str
    cls: type[TwoPassOptimizer] | None
    hyperparameters: Mapping[str, Hyperparameter]
    cost: Callable[[Mapping[str, Value]], float]
    source: Source | None
    usual: str
    direction: Direction | None = None
    normalised: bool = True
    make: Callable[..., Optimizer] | None = None

    @property
    def has_base(self) -> bool:
        """Whether it is a rule over a base optimizer, and does not take the descent step itself."""
        return self.make is None

    def gradient_evaluations(self, hyperparameters: Mapping[str, Value] | None = None) -> float:
        """Return the gradient evaluations of a step, averaged over a long run.

        Args:
            hyperparameters: values by name; others, and those left out, are taken at their defaults.

        Raises:
            HyperparameterError: a value is outside its range.
        """
        given = hyperparameters or {}
        values: dict[str, Value] = {}
        for name, hyperparameter in self.hyperparameters.items():
            value = given.get(name, hyperparameter.default)
            if value is not None:
                values[name] = hyperparameter.check(value)
        return self.cost(values)
