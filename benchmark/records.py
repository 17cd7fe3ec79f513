"""Records: the outcome of one training of a cell, written once and never changed."""

import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from benchmark.canonical import finite_or_none

Scalar = float | int | bool


class Status(StrEnum):
    """How the training of a cell ended."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def is_result(self) -> bool:
        """Whether the cell has a score: a diverged run is a result and scores the floor."""
        return self in (Status.COMPLETED, Status.DIVERGED)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a cell took.

    Attributes:
        steps: updates of the parameters.
        gradient_evaluations: passes forward and backward over a batch.
        elapsed_s: wall seconds of its training; its share of them where it was trained together with others.
        amortised: whether `elapsed_s` is such a share.
        execution: `sequential` (the plain loop) or `fused`.
        device: type of the device, as torch names it (`cpu`, `cuda`, ...).
    """

    steps: int
    gradient_evaluations: int
    elapsed_s: float
    amortised: bool
    execution: str
    device: str


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What the norms over the steps were, as far as they were finite.

    Attributes:
        grad_norm: median norm of the gradient.
        delta_over_rho: median norm of the perturbation in units of rho; None without one.
        mean_delta: mean norm of the perturbation, 0 where there was no step; None without rho, and for a run that
            failed or whose record is older than this number.
    """

    grad_norm: float | None
    delta_over_rho: float | None
    mean_delta: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the training of one cell gave, before it is known where it belongs.

    Attributes:
        status: how it ended.
        metrics: final values by name: `train_loss`, and `val_` and `test_` of each metric; empty unless completed.
        curve: series of equal length by name, `step` among them: the metrics at each evaluation.
        cost: what it took.
        diagnostics: medians over the steps.
        collapsed: whether a completed run learned nothing, as the task defines it.
        diverged_at_step: number, from 1, of the first step whose loss was not finite; where all were, of the step after
            which an evaluation found parameters or final metrics that were not.
        error: what went wrong, for a failed cell and for a control whose partner timed out.
    """

    status: Status
    metrics: Mapping[str, float]
    curve: Mapping[str, tuple[float, ...]]
    cost: Cost
    diagnostics: Diagnostics
    collapsed: bool = False
    diverged_at_step: int | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if (self.status is Status.DIVERGED) != (self.diverged_at_step is not None):
            raise ValueError(
                "diverged_at_step must be given for a diverged run and for no other, "
                f"but got status={self.status}, diverged_at_step={self.diverged_at_step}."
            )
        if self.collapsed and self.status is not Status.COMPLETED:
            raise ValueError(f"only a completed run can be collapsed, but got status={self.status}.")
        if len({len(series) for series in self.curve.values()}) > 1:
            lengths = {name: len(series) for name, series in self.curve.items()}
            raise ValueError(f"the series of a curve must have one length, but got {lengths}.")
        unbound = {name: value for name, value in self.metrics.items() if not math.isfinite(value)}
        if unbound:
            raise ValueError(f"a final metric must be finite, but got {unbound}: such a run is diverged.")


@dataclass(frozen=True, slots=True)
class PackPlace:
    """Where a cell was trained: pack, its size, and the cell's position in it."""

    id: str
    size: int
    position: int


def _new_id() -> str:
    """Return a UUID of version 7 (RFC 9562): it begins with the time, so that an index of ids grows at its end."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | secrets.randbits(80)
    version, variant = 7 << 76, 2 << 62
    return f"{number & ~(15 << 76 | 3 << 62) | version | variant:032x}"


_COST, _DIAGNOSTICS, _PACK_PLACE = (
    tuple(item.name for item in fields(part)) for part in (Cost, Diagnostics, PackPlace)
)


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one training of a cell under a fingerprint.

    Attributes:
        config_key: hash of configuration and seed; pairs cells between jobs.
        fingerprint: hash of the versions, device, execution and source that trained it.
        setting: hash of the configuration without its hyperparameters.
        hyperparameters: all of the rule and its base, defaults filled in; of a control those of its partner, and beside
            them the `radius` at which it was trained.
        seed: of split, initialisation and batch order.
        outcome: what came of it.
        pack: where it was trained.
        id: of this record alone.
    """

    config_key: str
    fingerprint: str
    setting: str
    hyperparameters: Mapping[str, Scalar]
    seed: int
    outcome: Outcome
    pack: PackPlace
    id: str = field(default_factory=_new_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values that JSON can hold; NaN and infinity in the curve become None."""
        outcome = self.outcome
        return {
            "id": self.id,
            "config_key": self.config_key,
            "fingerprint": self.fingerprint,
            "setting": self.setting,
            "hyperparameters": dict(self.hyperparameters),
            "seed": self.seed,
            "status": str(outcome.status),
            "collapsed": outcome.collapsed,
            "diverged_at_step": outcome.diverged_at_step,
            "error": outcome.error,
            "metrics": dict(outcome.metrics),
            "curve": {name: [finite_or_none(value) for value in series] for name, series in outcome.curve.items()},
            "cost": {name: getattr(outcome.cost, name) for name in _COST},
            "diagnostics": {name: getattr(outcome.diagnostics, name) for name in _DIAGNOSTICS},
            "pack": {name: getattr(self.pack, name) for name in _PACK_PLACE},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the record that `to_dict` wrote."""
        curve = {
            name: tuple(math.nan if value is None else float(value) for value in series)
            for name, series in document["curve"].items()
        }
        return cls(
            config_key=document["config_key"],
            fingerprint=document["fingerprint"],
            setting=document["setting"],
            hyperparameters=dict(document["hyperparameters"]),
            seed=document["seed"],
            outcome=Outcome(
                status=Status(document["status"]),
                metrics=dict(document["metrics"]),
                curve=curve,
                cost=Cost(**document["cost"]),
                diagnostics=Diagnostics(**document["diagnostics"]),
                collapsed=document["collapsed"],
                diverged_at_step=document["diverged_at_step"],
                error=document["error"],
            ),
            pack=PackPlace(**document["pack"]),
            id=document["id"],
        )
