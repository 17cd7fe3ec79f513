"""The optimizers that can be named, ours and those that users add; and the one way to build one by name."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from optimizers.alone import Alone
from optimizers.ascent_sync import AscentSync, check_sync
from optimizers.bases import NO_BASE, base_info, base_names
from optimizers.errors import HyperparameterError, RegistrationError, UnknownNameError
from optimizers.hyperparameter import Hyperparameter, Value, refuse_unknown
from optimizers.info import OptimizerInfo, Source
from optimizers.memoryless import ASAM, GD, MSAM, SAM, USAM, FisherSAM
from optimizers.remembering import GSAM, FriendlySAM, LookSAM, MomentumSAM
from optimizers.source_files import source_file_hash
from optimizers.two_pass import TwoPassOptimizer

__all__ = [
    "adopt_optimizer",
    "build",
    "check_optimizer_name",
    "optimizer_info",
    "optimizer_names",
    "optimizer_source",
    "register_optimizer",
    "registered_optimizers",
]


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

_OURS: Mapping[str, OptimizerInfo] = MappingProxyType(
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


_registered: dict[str, OptimizerInfo] = {}
_sources: dict[str, str] = {}


def register_optimizer(info: OptimizerInfo) -> OptimizerInfo:
    """Let specs name an optimizer of your own, in this process and in those that it trains with.

    The source of its file is part of the fingerprint of every record, so that a record of another version is never
    reused.

    Args:
        info: what :func:`rule_info` or :func:`class_info` returned; registering one of the same name and code again
            replaces it.

    Returns:
        The argument.

    Raises:
        RegistrationError: the name is taken by another optimizer, or the source cannot be read.
    """
    check_optimizer_name(info)
    adopt_optimizer(info, source_file_hash(info.direction or info.make, f"the optimizer '{info.name}'"))
    return info


def check_optimizer_name(info: OptimizerInfo) -> None:
    """Refuse, by a RegistrationError, an optimizer whose name is that of another one."""
    other = _registered.get(info.name)
    if info.name in _OURS or (other is not None and _place(other) != _place(info)):
        raise RegistrationError(
            f"a name must mean one optimizer, but '{info.name}' of {_place(info)} is "
            f"{'one of ours' if other is None else f'that of {_place(other)}'}; choose another."
        )


def adopt_optimizer(info: OptimizerInfo, source: str) -> None:
    """Take over an optimizer that is checked already, with the hash of its source."""
    _registered[info.name], _sources[info.name] = info, source


def registered_optimizers() -> dict[str, tuple[OptimizerInfo, str]]:
    """Return the optimizers that were added, with the hash of their source; what a worker must adopt."""
    return {name: (info, _sources[name]) for name, info in _registered.items()}


def optimizer_source(name: str) -> str:
    """Return the hash of the source of an added optimizer; empty for our own, whose source is that of this package."""
    return _sources.get(name, "")


def optimizer_names() -> tuple[str, ...]:
    """Return the names of all optimizers, sorted."""
    return tuple(sorted({*_OURS, *_registered}))


def optimizer_info(name: str) -> OptimizerInfo:
    """Return what is known of an optimizer.

    Args:
        name: one of :func:`optimizer_names`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    info = _OURS.get(name) or _registered.get(name)
    if info is None:
        raise UnknownNameError("optimizer", name, optimizer_names())
    return info


def build(
    optimizer: str,
    params: ParamsT,
    base: str,
    hyperparameters: Mapping[str, Value],
    *,
    total_steps: int | None = None,
    model: nn.Module | None = None,
    ascent_sync: AscentSync = "global",
    skip_non_finite: bool | None = None,
) -> TwoPassOptimizer | Alone:
    """Build an optimizer from names and one flat mapping of values.

    Args:
        optimizer: one of :func:`optimizer_names`.
        params: what to optimize, as for ``torch.optim``.
        base: one of :func:`base_names`; ``"none"`` for an optimizer that takes the descent step itself.
        hyperparameters: values by name, the rule's and the base's; what has a default may be left out.
        total_steps: number of updates in the run, needed for a warm-up of rho.
        model: whose buffers are to count once an update, as in :class:`TwoPassOptimizer`.
        ascent_sync: whose gradient is followed where several processes train the model, as there.
        skip_non_finite: whether an update with a NaN or infinite gradient is skipped, as there; one without a base does
            with it what it always does.

    Raises:
        UnknownNameError: no such optimizer or base.
        HyperparameterError: a value is unknown, missing or outside its range, or the optimizer refuses the values; or
            ascent_sync is local for an optimizer that cannot go without the gradient of all processes.
        ParameterError: a parameter is complex, sparse, or on another device than the first.
    """
    info = optimizer_info(optimizer)
    if info.has_base is (base == NO_BASE):
        raise UnknownNameError(f"base of {optimizer}", base, base_names() if info.has_base else (NO_BASE,))
    if info.cls is None:
        check_sync(optimizer, ascent_sync, model, keeps_first_gradient=True)
        refuse_unknown(hyperparameters, info.hyperparameters, optimizer)
        return Alone(info, _tensors(params), _values(optimizer, info.hyperparameters, hyperparameters), model=model)
    descent = base_info(base)
    refuse_unknown(hyperparameters, {**descent.hyperparameters, **info.hyperparameters}, f"{optimizer} over {base}")
    own = _values(optimizer, info.hyperparameters, hyperparameters)
    arguments = descent.arguments(_values(base, descent.hyperparameters, hyperparameters))
    return info.cls(
        params,
        descent.cls,
        total_steps=total_steps,
        model=model,
        ascent_sync=ascent_sync,
        skip_non_finite=skip_non_finite,
        **own,
        **arguments,
    )


def _place(info: OptimizerInfo) -> str:
    code: Any = info.direction or info.make
    return f"{getattr(code, '__module__', '?')}.{getattr(code, '__qualname__', '?')}"


def _tensors(params: Iterable[Any]) -> list[Tensor]:
    """Return parameters without the names that some of them came with."""
    return [one[1] if isinstance(one, tuple) else one for one in params]


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
