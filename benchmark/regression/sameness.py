"""Whether a training that was done again gave the same: to the last bit, to within noise, or something else."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmark.records import Outcome, Record


class Sameness(StrEnum):
    """What is to be said of a record and one of the same cell that was trained again.

    Attributes:
        IDENTICAL: the same making, the same pack, and every number the same to the last bit, time and memory apart.
        WITHIN_NOISE: not that, but every score is within the tolerance.
        DIFFERENT: a score is not, or one of the two diverged.
    """

    IDENTICAL = "identical"
    WITHIN_NOISE = "within_noise"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Repetition:
    """A record compared with one of the same cell that was trained again.

    Attributes:
        verdict: None where there is nothing to compare.
        reason: why it is not identical, or there is no verdict.
        differences: of each score, again less before, in raw units.
    """

    verdict: Sameness | None
    reason: str | None
    differences: Mapping[str, float]


def repetition(before: Record, again: Record, *, scores: Sequence[str], tolerance: float) -> Repetition:
    """Compare a record with one of the same cell that was trained again.

    Args:
        before: what was.
        again: what came of it now.
        scores: names of the metrics that count.
        tolerance: by how much a score may be off, in raw units.
    """
    mine, theirs = before.outcome, again.outcome
    for name, outcome in (("first", mine), ("new", theirs)):
        if not outcome.status.is_result:
            said = f": {outcome.error}" if outcome.error else ""
            return Repetition(None, f"the {name} record is {outcome.status}{said}", {})
    if mine.status is not theirs.status:
        return Repetition(Sameness.DIFFERENT, f"it was {mine.status} and is {theirs.status}", {})
    differences = {
        name: theirs.metrics[name] - mine.metrics[name]
        for name in scores
        if name in mine.metrics and name in theirs.metrics
    }
    reason = _why_not_identical(before, again)
    if reason is None:
        return Repetition(Sameness.IDENTICAL, None, differences)
    off = {name: value for name, value in differences.items() if not abs(value) <= tolerance}
    if off:
        name = max(off, key=lambda one: abs(off[one]))
        return Repetition(Sameness.DIFFERENT, f"{name} is off by {off[name]:+.3g}", differences)
    return Repetition(Sameness.WITHIN_NOISE, reason, differences)


def overall(verdicts: Iterable[Sameness | None]) -> Sameness | None:
    """Return what is to be said of many: what the worst of them is; None where that is not known, or there are none."""
    found = set(verdicts)
    if Sameness.DIFFERENT in found:
        return Sameness.DIFFERENT
    if None in found or not found:
        return None
    return Sameness.WITHIN_NOISE if Sameness.WITHIN_NOISE in found else Sameness.IDENTICAL


def _why_not_identical(before: Record, again: Record) -> str | None:
    if before.fingerprint != again.fingerprint:
        return "another version of the code, its libraries or its data, or another device, trained it"
    if not _same_pack(before, again):
        return "it was trained beside other cells than then"
    changed = _first_change(before.outcome, again.outcome)
    return None if changed is None else f"{changed} is not the same to the last bit"


def _same_pack(before: Record, again: Record) -> bool:
    """Return whether a cell was trained beside the same others; one that is trained alone always is."""
    execution = before.outcome.cost.execution
    if execution != again.outcome.cost.execution:
        return False
    if execution == "sequential":
        return True
    return (before.pack.size, before.pack.position) == (again.pack.size, again.pack.position)


def _first_change(one: Outcome, other: Outcome) -> str | None:
    """Return the name of the first number that differs; of those that only one of the two has, none."""
    mine, theirs = _numbers(one), _numbers(other)
    return next((name for name in mine if name in theirs and not _equal(mine[name], theirs[name])), None)


def _numbers(outcome: Outcome) -> dict[str, Any]:
    cost, diagnostics = outcome.cost, outcome.diagnostics
    found: dict[str, Any] = {
        "collapsed": outcome.collapsed,
        "the step of its end": outcome.diverged_at_step,
        "the number of steps": cost.steps,
        "the number of gradient evaluations": cost.gradient_evaluations,
        **outcome.metrics,
        **{f"the curve of {name}": tuple(values) for name, values in outcome.curve.items()},
        "the norm of the gradient": diagnostics.grad_norm,
        "the norm of the perturbation": diagnostics.delta_over_rho,
    }
    if diagnostics.mean_delta is not None:  # records of older versions have none
        found["the mean norm of the perturbation"] = diagnostics.mean_delta
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        same_sign = math.copysign(1, one) == math.copysign(1, other)  # of zeros too
        return (math.isnan(one) and math.isnan(other)) or (one == other and same_sign)
    return bool(one == other)
