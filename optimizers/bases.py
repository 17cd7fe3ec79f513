"""The base optimizers that can be named, with their hyperparameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch.optim import Optimizer

from optimizers.errors import HyperparameterError, UnknownNameError
from optimizers.hyperparameter import Hyperparameter, Value

__all__ = ["NO_BASE", "BaseInfo", "base_info", "base_names"]

NO_BASE = "none"
"""What stands for the base of an optimizer that takes the descent step itself."""

LR = Hyperparameter("lr", float, low=0, low_open=True, high_open=True, description="learning rate")
WEIGHT_DECAY = Hyperparameter(
    "weight_decay", float, 0.0, low=0, high_open=True, description="factor of theta in the descent step"
)
MOMENTUM = Hyperparameter("momentum", float, 0.0, low=0, high=1, high_open=True, description="decay of the momentum")
NESTEROV = Hyperparameter("nesterov", bool, False, description="Nesterov's momentum; needs momentum > 0")
BETA1 = Hyperparameter("beta1", float, 0.9, low=0, high=1, high_open=True, description="decay of the mean gradient")
BETA2 = Hyperparameter("beta2", float, 0.999, low=0, high=1, high_open=True, description="decay of the mean square")
EPS = Hyperparameter("eps", float, 1e-8, low=0, high_open=True, description="added to the root of the mean square")


@dataclass(frozen=True)
class BaseInfo:
    """One base optimizer.

    Attributes:
        name: as in a spec.
        cls: the class of ``torch.optim``.
        hyperparameters: by name, in order; ``lr`` must be given.
        arguments: turns checked values, one for each hyperparameter, into arguments of ``cls``.
    """

    name: str
    cls: type[Optimizer]
    hyperparameters: Mapping[str, Hyperparameter]
    arguments: Callable[[Mapping[str, Value]], dict[str, Any]]


def _sgd(values: Mapping[str, Value]) -> dict[str, Any]:
    if values["nesterov"] and not values["momentum"]:
        message = "nesterov needs momentum > 0, but got momentum=0.0, nesterov=True."
        raise HyperparameterError("nesterov", message)
    return dict(values)


def _adam(values: Mapping[str, Value]) -> dict[str, Any]:
    rest = {name: value for name, value in values.items() if name not in ("beta1", "beta2")}
    return {**rest, "betas": (values["beta1"], values["beta2"])}


def _base(
    name: str,
    cls: type[Optimizer],
    arguments: Callable[[Mapping[str, Value]], dict[str, Any]],
    *hyperparameters: Hyperparameter,
) -> BaseInfo:
    return BaseInfo(name, cls, MappingProxyType({h.name: h for h in hyperparameters}), arguments)


BASES: Mapping[str, BaseInfo] = MappingProxyType(
    {
        base.name: base
        for base in (
            _base("sgd", torch.optim.SGD, _sgd, LR, MOMENTUM, NESTEROV, WEIGHT_DECAY),
            _base("adam", torch.optim.Adam, _adam, LR, BETA1, BETA2, EPS, WEIGHT_DECAY),
            _base("adamw", torch.optim.AdamW, _adam, LR, BETA1, BETA2, EPS, WEIGHT_DECAY),
        )
    }
)


_NONE = BaseInfo(NO_BASE, Optimizer, MappingProxyType({}), dict)


def base_names() -> tuple[str, ...]:
    """Return the names of all base optimizers, sorted."""
    return tuple(sorted(BASES))


def base_info(name: str) -> BaseInfo:
    """Return what is known of a base optimizer.

    Args:
        name: one of :func:`base_names`, or ``"none"``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name == NO_BASE:
        return _NONE
    if name not in BASES:
        raise UnknownNameError("base optimizer", name, BASES)
    return BASES[name]
