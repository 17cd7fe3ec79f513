"""Intervals: seeds are the random unit, configurations a fixed design that is never resampled.

Under ten seeds a bootstrap is too narrow (a nominal 95 % interval of a mean covers 74 % with 3 seeds and 84 % with 5),
so there are t-intervals for means over seeds and none for the rest. From ten seeds on the seeds are resampled jointly
over configurations and optimizers, which keeps the pairing by common random numbers. Where every seed gives the same
value there is no interval, however many they are: one without width would be certain of what the seeds cannot know.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # of `stats` the same numbers take fifty times as long, one by one

from benchmark.robustness.scoring import FloatArray

LEVEL = 0.95
MIN_SEEDS = 2
MIN_BOOTSTRAP_SEEDS = 10
N_RESAMPLES = 2_000
MAX_UNTHREADED_PRODUCTS = 250_000  # OpenBLAS multiplies in one thread below 4 * 65,536
ROUNDING = 1e-9  # in the unit of the measure, which is of the size of one
NO_SPREAD = "no interval where the seeds do not differ"
T_METHOD = "t-interval over seeds"
BOOTSTRAP_METHOD = f"joint bootstrap over seeds, expanded percentile, {N_RESAMPLES} resamples"
REVERSE_METHOD = f"joint bootstrap over seeds, expanded reverse percentile, {N_RESAMPLES} resamples"


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval: its ends, its level and how it was made."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class NoInterval:
    """The reason why there is no interval."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is known about the spread of a measure.

    Attributes:
        by_seed: the values whose mean over the seeds is the measure; None where it is no such mean.
        resampled: the measure on each resample; None under ten seeds.
        n_seeds: number of seeds.
        is_order_statistic: whether noise pushes the measure one way, as it does a minimum.
        has_steps: whether the measure is one of seed means that moves in steps, as a count of good ones does: that no
            resample moves it means then that no step is near, and not that its spread is unknown.
    """

    by_seed: FloatArray | None
    resampled: FloatArray | None
    n_seeds: int
    is_order_statistic: bool = False
    has_steps: bool = False

    def minus(self, other: "Sample") -> "Sample":
        """Return the sample of a difference, paired by seed and by resample."""
        by_seed, resampled = (
            None if first is None or second is None else first - second
            for first, second in ((self.by_seed, other.by_seed), (self.resampled, other.resampled))
        )
        return replace(
            self,
            by_seed=by_seed,
            resampled=resampled,
            is_order_statistic=self.is_order_statistic or other.is_order_statistic,
        )

    def negated(self) -> "Sample":
        """Return the sample of the measure with the other sign."""
        by_seed, resampled = (None if part is None else -part for part in (self.by_seed, self.resampled))
        return replace(self, by_seed=by_seed, resampled=resampled)

    @property
    def is_flat(self) -> bool:
        """Whether the seeds do not differ in the measure, so that nothing is known of its spread."""
        values = self.resampled if self.by_seed is None else self.by_seed
        return values is not None and not self.has_steps and bool(np.ptp(values) <= ROUNDING)


def interval_of(value: float, sample: Sample, level: float = LEVEL) -> Interval | NoInterval:
    """Return the interval of a measure as far as its seeds allow one.

    Args:
        value: the measure on the seeds as they are.
        sample: its spread over them.
        level: nominal coverage.
    """
    if sample.n_seeds < MIN_SEEDS:
        return NoInterval(f"an interval needs at least {MIN_SEEDS} seeds, there is {sample.n_seeds}")
    if sample.is_flat:
        return NoInterval(NO_SPREAD)
    if sample.n_seeds < MIN_BOOTSTRAP_SEEDS:
        if sample.by_seed is None:
            return NoInterval(f"an interval needs {MIN_BOOTSTRAP_SEEDS} seeds, there are {sample.n_seeds}")
        return t_interval(sample.by_seed, level)
    if sample.resampled is None:
        return NoInterval("no interval is defined for it")
    return percentile_interval(value, sample.resampled, sample.n_seeds, level, reverse=sample.is_order_statistic)


def t_interval(by_seed: FloatArray, level: float = LEVEL) -> Interval:
    """Return Student's interval of a mean: m -+ t sd / sqrt(n), t the quantile with n - 1 degrees of freedom.

    Source: Student, The Probable Error of a Mean, 1908.

    Args:
        by_seed: at least two independent values, one a seed.
        level: nominal coverage.
    """
    n = len(by_seed)
    half = special.stdtrit(n - 1, (1 + level) / 2) * by_seed.std(ddof=1) / math.sqrt(n)
    return Interval(float(by_seed.mean() - half), float(by_seed.mean() + half), level, T_METHOD)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Pointwise intervals along a curve: at each point, and not at all points at once, they cover as often as they say.

    Attributes:
        low: lower ends; NaN where there is no interval.
        high: upper ends.
        level: nominal coverage.
        method: how they were made.
    """

    low: FloatArray
    high: FloatArray
    level: float
    method: str


def band_of(by_seed: FloatArray, weights: FloatArray | None, level: float = LEVEL) -> Band | None:
    """Return the intervals of the means over the seeds at every point of a curve; None for a single seed.

    Where the seeds do not differ there is none, and its ends are NaN.

    Args:
        by_seed: shape (seeds, points), no NaN.
        weights: of the seeds in each resample, from ten seeds on.
        level: nominal coverage of each.
    """
    n, mean = len(by_seed), by_seed.mean(axis=0)
    if n < MIN_SEEDS:
        return None
    if weights is None:
        half = special.stdtrit(n - 1, (1 + level) / 2) * by_seed.std(axis=0, ddof=1) / math.sqrt(n)
        low, high, method = mean - half, mean + half, T_METHOD
    else:
        tail = (1 - expanded_level(n, level)) / 2
        low, high = np.quantile(weights @ by_seed, (tail, 1 - tail), axis=0)
        low, high, method = np.minimum(low, mean), np.maximum(high, mean), BOOTSTRAP_METHOD
    is_flat = np.ptp(by_seed, axis=0) <= ROUNDING * np.abs(by_seed).max(axis=0)
    return Band(np.where(is_flat, np.nan, low), np.where(is_flat, np.nan, high), level, method)


def weights_for(n_seeds: int, rng: np.random.Generator | None = None) -> FloatArray | None:
    """Return the weights of the seeds in the resamples; None under ten seeds. By default the same ones every time."""
    if n_seeds < MIN_BOOTSTRAP_SEEDS:
        return None
    return seed_weights(n_seeds, rng or np.random.default_rng(n_seeds))


def seed_weights(n_seeds: int, rng: np.random.Generator) -> FloatArray:
    """Return the weight of each seed in each resample, shape (resamples, seeds): its count over the number of seeds."""
    return rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=N_RESAMPLES) / n_seeds


def resampled_means(weights: FloatArray, scores: FloatArray) -> FloatArray:
    """Return the seed means on each resample: `weights @ scores.T`, shape (resamples, configurations).

    In products too small for BLAS to call on its threads: with so few seeds they save nothing, and on a machine that is
    busy training they wait for each other much longer than the product takes.

    Args:
        weights: of the seeds, shape (resamples, seeds).
        scores: shape (configurations, seeds).
    """
    n_configurations, n_seeds = scores.shape
    means = np.empty((len(weights), n_configurations))
    block = max(1, MAX_UNTHREADED_PRODUCTS // (len(weights) * n_seeds))
    for start in range(0, n_configurations, block):
        np.matmul(weights, scores[start : start + block].T, out=means[:, start : start + block])
    return means


def expanded_level(n_seeds: int, level: float = LEVEL) -> float:
    """Return the level at which percentiles are read so that the interval of a mean covers as often as it says.

    The bootstrap knows neither that its variance is (n - 1)/n of the unbiased one nor the difference between t and the
    normal distribution; reading further out makes up for both: with a the tail, Phi^-1(a') = sqrt(n/(n-1)) t_(n-1)(a).
    Source: T. Hesterberg, What Teachers Should Know About the Bootstrap, 2015 (the expanded percentile interval).
    """
    quantile = special.stdtrit(n_seeds - 1, (1 + level) / 2) * math.sqrt(n_seeds / (n_seeds - 1))
    return float(1 - 2 * special.ndtr(-quantile))


def percentile_interval(
    value: float, resampled: FloatArray, n_seeds: int, level: float = LEVEL, *, reverse: bool = False
) -> Interval | NoInterval:
    """Return the expanded percentile interval of the resamples, [q, q'], or the reverse one, [2 v - q', 2 v - q].

    The noise of the seeds pushes the minimum of many means down, and resampling pushes it down once more. The reverse
    interval takes that off twice where the plain one counts it twice; for the other measures it covers less.

    Where all but a tail of the resamples lie on one side of the measure itself there is no interval.

    Args:
        value: the measure v on the seeds as they are.
        resampled: the measure on each resample.
        n_seeds: number of seeds.
        level: nominal coverage.
        reverse: whether to return the reverse interval.
    """
    if not np.isfinite(resampled).all():
        return NoInterval("no interval: it is not defined on every resample of the seeds")
    tail = (1 - expanded_level(n_seeds, level)) / 2
    low, high = (float(end) for end in np.quantile(resampled, (tail, 1 - tail)))
    slack = 1e-9 * max(1.0, abs(value))
    if not low - slack <= value <= high + slack:
        return NoInterval("no interval: the resamples of the seeds lie on one side of the value")
    low, high = min(low, value), max(high, value)
    if reverse:
        return Interval(2 * value - high, 2 * value - low, level, REVERSE_METHOD)
    return Interval(low, high, level, BOOTSTRAP_METHOD)
