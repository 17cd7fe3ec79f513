"""The optimizers that can be named, what they cost and where they come from; and the one way to build one by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.optim.optimizer import ParamsT

from optimizers.bases import base_info
from optimizers.errors import HyperparameterError, UnknownNameError
from optimizers.hyperparameter import Hyperparameter, Value, refuse_unknown
from optimizers.memoryless import ASAM, GD, MSAM, SAM, USAM, FisherSAM
from optimizers.remembering import GSAM, FriendlySAM, LookSAM, MomentumSAM
from optimizers.two_pass import TwoPassOptimizer

__all__ = ["OptimizerInfo", "Source", "build", "optimizer_info", "optimizer_names"]


@dataclass(frozen=True)
class Source:
    """A publication.

    Attributes:
        authors: their names.
        title: its title.
        year: of the first version.
        arxiv: its number there.
    """

    authors: str
    title: str
    year: int
    arxiv: str


@dataclass(frozen=True)
class OptimizerInfo:
    """One optimizer of the family.

    Attributes:
        name: as in a spec.
        title: as in a table.
        cls: the class.
        hyperparameters: the rule's own, by name, in order.
        cost: gradient evaluations a step, as a function of the hyperparameters' values.
        source: where it comes from; None for plain gradient descent.
        usual: values in use, in words.
    """

    name: str
    title: str
    cls: type[TwoPassOptimizer]
    hyperparameters: Mapping[str, Hyperparameter]
    cost: Callable[[Mapping[str, Value]], float]
    source: Source | None
    usual: str

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


def _one(_: Mapping[str, Value]) -> float:
    return 1.0


def _two(_: Mapping[str, Value]) -> float:
    return 2.0


def _two_every_k(values: Mapping[str, Value]) -> float:
    return 1.0 + 1.0 / values["k"]


def _entry(
    name: str,
    title: str,
    cls: type[TwoPassOptimizer],
    cost: Callable[[Mapping[str, Value]], float],
    source: Source | None,
    usual: str,
) -> OptimizerInfo:
    return OptimizerInfo(name, title, cls, MappingProxyType(dict(cls.hyperparameters)), cost, source, usual)


FORET = Source(
    "Foret, Kleiner, Mobahi, Neyshabur",
    "Sharpness-Aware Minimization for Efficiently Improving Generalization",
    2020,
    "2010.01412",
)
ANDRIUSHCHENKO = Source(
    "Andriushchenko, Flammarion", "Towards Understanding Sharpness-Aware Minimization", 2022, "2206.06232"
)
JACOBSEN = Source(
    "Jacobsen, Arvanitidis",
    "Monge SAM: Robust Reparameterization-Invariant Sharpness-Aware Minimization Based on Loss Geometry",
    2025,
    "2502.08448",
)

KWON = Source(
    "Kwon, Kim, Park, Choi",
    "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks",
    2021,
    "2102.11600",
)
KIM = Source(
    "Kim, Li, Hu, Hospedales", "Fisher SAM: Information Geometry and Sharpness Aware Minimisation", 2022, "2206.04920"
)
ZHUANG = Source(
    "Zhuang, Gong, Yuan, Cui, Adam, Dvornek, Tatikonda, Duncan, Liu",
    "Surrogate Gap Minimization Improves Sharpness-Aware Training",
    2022,
    "2203.08065",
)
LI = Source("Li, Zhou, He, Cheng, Huang", "Friendly Sharpness-Aware Minimization", 2024, "2403.12350")
LIU = Source(
    "Liu, Mai, Chen, Hsieh, You", "Towards Efficient and Scalable Sharpness-Aware Minimization", 2022, "2203.02714"
)
BECKER = Source(
    "Becker, Altrock, Risse",
    "Momentum-SAM: Sharpness Aware Minimization without Computational Overhead",
    2024,
    "2401.12033",
)

OPTIMIZERS: Mapping[str, OptimizerInfo] = MappingProxyType(
    {
        info.name: info
        for info in (
            _entry("gd", "GD", GD, _one, None, "the base optimizer alone"),
            _entry("sam", "SAM", SAM, _two, FORET, "rho .01-.5"),
            _entry("usam", "USAM", USAM, _two, ANDRIUSHCHENKO, "rho .01-.5"),
            _entry("msam", "Monge SAM", MSAM, _two, JACOBSEN, "rho .005-.05 on CLIP"),
            _entry("asam", "ASAM", ASAM, _two, KWON, "rho .5-1, eta .01"),
            _entry("fisher_sam", "Fisher SAM", FisherSAM, _two, KIM, "eta .2-1"),
            _entry("gsam", "GSAM", GSAM, _two, ZHUANG, "rho .01-.5, alpha .4"),
            _entry("friendly_sam", "Friendly SAM", FriendlySAM, _two, LI, "rho .2, sigma 1, decay .6-.95"),
            _entry("look_sam", "LookSAM", LookSAM, _two_every_k, LIU, "k 5-10, alpha .7"),
            _entry("momentum_sam", "Momentum-SAM", MomentumSAM, _one, BECKER, "rho about 3; base with momentum"),
        )
    }
)


def optimizer_names() -> tuple[str, ...]:
    """Return the names of all optimizers, sorted."""
    return tuple(sorted(OPTIMIZERS))


def optimizer_info(name: str) -> OptimizerInfo:
    """Return what is known of an optimizer.

    Args:
        name: one of :func:`optimizer_names`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def build(
    optimizer: str,
    params: ParamsT,
    base: str,
    hyperparameters: Mapping[str, Value],
    *,
    total_steps: int | None = None,
    model: nn.Module | None = None,
    skip_non_finite: bool | None = None,
) -> TwoPassOptimizer:
    """Build an optimizer from names and one flat mapping of values.

    Args:
        optimizer: one of :func:`optimizer_names`.
        params: what to optimize, as for ``torch.optim``.
        base: one of :func:`base_names`.
        hyperparameters: values by name, the rule's and the base's; what has a default may be left out.
        total_steps: number of updates in the run, needed for a warm-up of rho.
        model: whose buffers are to count once an update, as in :class:`TwoPassOptimizer`.
        skip_non_finite: whether an update with a NaN or infinite gradient is skipped, as there.

    Raises:
        UnknownNameError: no such optimizer or base.
        HyperparameterError: a value is unknown, missing or outside its range.
        ParameterError: a parameter is complex, sparse, or on another device than the first.
    """
    rule, descent = optimizer_info(optimizer), base_info(base)
    refuse_unknown(hyperparameters, {**descent.hyperparameters, **rule.hyperparameters}, f"{optimizer} over {base}")
    own = _values(optimizer, rule.hyperparameters, hyperparameters)
    arguments = descent.arguments(_values(base, descent.hyperparameters, hyperparameters))
    options: dict[str, Any] = {"total_steps": total_steps, "model": model, "skip_non_finite": skip_non_finite}
    return rule.cls(params, descent.cls, **options, **own, **arguments)


def _values(owner: str, known: Mapping[str, Hyperparameter], given: Mapping[str, Value]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, hyperparameter in known.items():
        value = given.get(name, hyperparameter.default)
        if value is None:
            message = (
                f"{name} of {owner} has no default and must be given, but got {', '.join(sorted(given)) or 'nothing'}."
            )
            raise HyperparameterError(name, message)
        values[name] = hyperparameter.check(value)
    return values
