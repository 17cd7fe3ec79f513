"""The change of one measure of one optimizer between a baseline and a candidate, paired by seed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from scipy import stats

from benchmark.regression.verdicts import Verdict, verdict_of
from benchmark.robustness.intervals import MIN_BOOTSTRAP_SEEDS, MIN_SEEDS, T_METHOD, NoInterval, Sample
from benchmark.robustness.scoring import FloatArray

MAX_SEEDS = 1_000
BOOTSTRAP_METHOD = "t-interval with the standard error of a joint bootstrap over seeds"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one measure.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        name: of the measure.
        before: its value in the baseline, in the unit of the measure; None where it is not defined.
        after: its value in the candidate.
        difference: after less before.
        low: lower end of its interval; None where there is none.
        high: upper end.
        level: nominal coverage.
        method: how the interval was made.
        margin: what does not matter, in the same unit; None where nothing is tested.
        verdict: on the change.
        reason: why there is no interval, or no verdict.
        n_seeds_needed: seeds with which an undecided change of this size would be decided, as far as more seeds scatter
            like these; None for other verdicts, and above 1,000.
    """

    task: str
    optimizer: str
    name: str
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    margin: float | None = None
    verdict: Verdict = Verdict.NOT_TESTED
    reason: str | None = None
    n_seeds_needed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain values that JSON can hold."""
        return {**asdict(self), "verdict": str(self.verdict)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the change that `to_dict` wrote."""
        return cls(**{**document, "verdict": Verdict(document["verdict"])})


@dataclass(frozen=True, slots=True)
class Spread:
    """How a paired difference scatters.

    Attributes:
        sd: standard deviation of what one seed contributes.
        n_seeds: at least two.
        method: how an interval is made of it.
    """

    sd: float
    n_seeds: int
    method: str

    def half(self, level: float) -> float:
        """Return half the width of the interval of a level."""
        return float(_halves(np.array([self.n_seeds], dtype=np.float64), self.sd, level)[0])


def spread_of(sample: Sample) -> Spread | NoInterval:
    """Return how a paired difference scatters, or why that is not known.

    Of a mean over seeds the interval is Student's. Of another measure, from ten seeds on, it is the same with the
    standard error of the joint bootstrap, sqrt(n / (n - 1)) times the standard deviation of its resamples: percentiles
    of 2,000 resamples do not reach to the levels that many comparisons at once ask for.
    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, sections 12.2 and 12.5.

    Args:
        sample: of the difference.
    """
    n = sample.n_seeds
    if n < MIN_SEEDS:
        return NoInterval(f"an interval needs at least {MIN_SEEDS} seeds, there is {n}")
    if sample.by_seed is not None:
        return Spread(float(sample.by_seed.std(ddof=1)), n, T_METHOD)
    if n < MIN_BOOTSTRAP_SEEDS:
        return NoInterval(f"an interval needs {MIN_BOOTSTRAP_SEEDS} seeds, there are {n}")
    if sample.resampled is None or not np.isfinite(sample.resampled).all():
        return NoInterval("it is not defined on every resample of the seeds")
    return Spread(float(sample.resampled.std(ddof=1)) * n / math.sqrt(n - 1), n, BOOTSTRAP_METHOD)


def with_interval(change: Change, spread: Spread, level: float) -> Change:
    """Return a change, which has a difference, with its interval."""
    if change.difference is None:
        raise ValueError(f"an interval needs a difference, but {change.name} of {change.optimizer} has none.")
    half = spread.half(level)
    ends = change.difference - half, change.difference + half
    return replace(change, low=ends[0], high=ends[1], level=level, method=spread.method)


def judged(change: Change, spread: Spread, *, less_is_worse: bool, margin: float, level: float) -> Change:
    """Return a change, which has a difference, with its interval and the verdict.

    Args:
        change: of a measure with a direction that is worse.
        spread: of its difference.
        less_is_worse: which direction that is.
        margin: in the unit of the measure.
        level: of the interval.
    """
    found = with_interval(change, spread, level)
    sign = -1.0 if less_is_worse else 1.0
    worsening, half = sign * (found.difference or 0.0), spread.half(level)
    verdict = verdict_of(worsening - half, worsening + half, margin)
    needed = _seeds_to_decide(worsening, spread.sd, margin, level) if verdict is Verdict.UNDECIDED else None
    return replace(found, margin=margin, verdict=verdict, n_seeds_needed=needed)


def _halves(n_seeds: FloatArray, sd: float, level: float) -> FloatArray:
    return np.asarray(stats.t.ppf((1 + level) / 2, n_seeds - 1) * sd / np.sqrt(n_seeds))


def _seeds_to_decide(worsening: float, sd: float, margin: float, level: float) -> int | None:
    """Return the least number of seeds whose interval around a worsening no longer holds an end of the margin."""
    distance = min(abs(worsening - margin), abs(worsening + margin))
    counts = np.arange(MIN_SEEDS, MAX_SEEDS + 1, dtype=np.float64)
    enough = np.flatnonzero(_halves(counts, sd, level) < distance)
    return int(counts[enough[0]]) if len(enough) else None
