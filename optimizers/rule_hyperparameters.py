"""Hyperparameters that several rules have."""

from collections.abc import Iterable, Mapping
from typing import Any

from optimizers.hyperparameter import Hyperparameter

__all__ = ["of_projection", "own_of", "table"]

OF_THE_RADIUS = ("rho", "rho_warmup")


def table(rho: float, *hyperparameters: Hyperparameter) -> Mapping[str, Hyperparameter]:
    """Return the radius with its default, the rule's other hyperparameters, and the warm-up, by name."""
    radius = Hyperparameter("rho", float, rho, low=0, high_open=True, description="radius of the perturbation")
    warmup = Hyperparameter(
        "rho_warmup",
        float,
        0.0,
        low=0,
        high=1,
        description="share of total_steps over which rho grows linearly: rho min(1, (t + 1) / (share T)), t from 0",
    )
    return {h.name: h for h in (radius, *hyperparameters, warmup)}


def of_projection(name: str, default: float, description: str, **bounds: Any) -> Hyperparameter:
    """Return a hyperparameter >= 0 that enters a norm or projection over all groups."""
    bounds = {"low": 0, "high_open": True, **bounds}
    return Hyperparameter(name, float, default, description=description, per_group=False, **bounds)


def own_of(names: Iterable[str]) -> list[str]:
    """Return which of a rule's hyperparameters are its own, apart from the radius."""
    return [name for name in names if name not in OF_THE_RADIUS]
