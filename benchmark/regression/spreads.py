"""How a paired difference scatters over the seeds, and the interval and the verdict that it gives a change."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # of `stats` an import alone takes a second

from benchmark.regression.changes import Change
from benchmark.regression.verdicts import Verdict, verdict_of
from benchmark.robustness.intervals import MIN_BOOTSTRAP_SEEDS, MIN_SEEDS, ROUNDING, T_METHOD, NoInterval, Sample
from benchmark.robustness.scoring import FloatArray

MAX_SEEDS = 1_000
MIN_EQUAL_SEEDS = 6  # of which all going one way by chance is 2 / 2**6 = 3 %
BOOTSTRAP_METHOD = "t-interval with the standard error of a joint bootstrap over seeds"


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
    of 2,000 resamples do not reach to the levels that many comparisons at once ask for. Where all seeds differ by the
    same there is no width to an interval, and its certainty must come from their number, as in a sign test.
    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, sections 12.2 and 12.5.

    Args:
        sample: of the difference.
    """
    n = sample.n_seeds
    if n < MIN_SEEDS:
        return NoInterval(f"an interval needs at least {MIN_SEEDS} seeds, there is {n}")
    if sample.by_seed is not None:
        if n < MIN_EQUAL_SEEDS and sample.is_flat and abs(sample.by_seed[0]) > ROUNDING:
            return NoInterval(f"{n} seeds that differ by the same are too few to tell: it needs {MIN_EQUAL_SEEDS}")
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
    return np.asarray(special.stdtrit(n_seeds - 1, (1 + level) / 2) * sd / np.sqrt(n_seeds))


def _seeds_to_decide(worsening: float, sd: float, margin: float, level: float) -> int | None:
    """Return the least number of seeds whose interval around a worsening no longer holds an end of the margin."""
    distance = min(abs(worsening - margin), abs(worsening + margin))
    counts = np.arange(MIN_SEEDS, MAX_SEEDS + 1, dtype=np.float64)
    enough = np.flatnonzero(_halves(counts, sd, level) < distance)
    return int(counts[enough[0]]) if len(enough) else None
