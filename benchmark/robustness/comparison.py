"""Paired differences between any two optimizers, how clear they are, and which optimizer leads in a measure."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from benchmark.errors import TableError
from benchmark.robustness.intervals import LEVEL, MIN_SEEDS, ROUNDING, Interval, Sample, interval_of
from benchmark.robustness.power import seeds_needed
from benchmark.robustness.ranks import Rank, holm, ranks
from benchmark.robustness.registry import BY_NAME, row_measures
from benchmark.robustness.rows import Row
from benchmark.robustness.significance import p_not_above, test_of, two_sided_p

LEADS = "leads"
RANKED_BY = "grid_mean"
COMPARED = (RANKED_BY, "iqm", "best", "expected_best_4", "good_share")


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of one measure between two optimizers, paired by seed.

    Attributes:
        task: label of the task.
        measure: name of the measure.
        first: label of the optimizer from whose measure the other's is taken.
        second: label of the other.
        value: the difference, in the unit of the measure's `value`.
        raw: the difference in raw units.
        low: lower end of the interval of `value`; None where there is none.
        high: upper end.
        level: nominal coverage.
        method: how the interval was made.
        reason: why there is no interval.
        p_value: of the hypothesis that there is no difference, two-sided; None where the seeds allow none.
        p_adjusted: the same, corrected by Holm over all pairs that the table compares in this measure on this task.
        test: how the p-value was made.
        n_seeds_needed: seeds with which a paired t-test sees a difference of the task's tolerance with a power of 80 %,
            at the level that Bonferroni's correction for the pairs leaves, as far as more seeds scatter like these;
            None for other than means over seeds, and above 1,000.
    """

    task: str
    measure: str
    first: str
    second: str
    value: float
    raw: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    reason: str | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    test: str | None = None
    n_seeds_needed: int | None = None

    @property
    def is_clear(self) -> bool:
        """Whether there is an interval on one side of zero, by more than rounding, and the test says no other."""
        if self.low is None or self.high is None or self.level is None:
            return False
        is_apart = self.low > ROUNDING or self.high < -ROUNDING
        return is_apart and (self.p_value is None or self.p_value <= 1 - self.level)

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the difference that `to_dict` wrote."""
        return cls(**document)


def paired_difference(first: Row, second: Row, measure: str, level: float = LEVEL) -> Difference:
    """Return the difference of a measure between two rows of one task of one table, with its interval and p-value.

    Both optimizers saw the same seeds, that is the same splits, initialisations and batch orders. What a seed does to
    both cancels in the difference, whose interval is therefore narrower than those of the two measures suggest. Under
    ten seeds it is a t-interval on the differences by seed, for means over seeds only; from ten on it comes from the
    joint resamples.

    Args:
        first: a ranked row.
        second: a ranked row of the same task.
        measure: name of the measure.
        level: nominal coverage.

    Raises:
        TableError: for rows that cannot be compared or do not have the measure.
    """
    if measure not in BY_NAME:
        raise TableError(f"unknown measure {measure!r}; known: {', '.join(BY_NAME)}.")
    if first.task != second.task:
        raise TableError(f"a difference is between rows of one task, but got {first.task} and {second.task}.")
    for row in (first, second):
        if not row.ranked:
            raise TableError(f"a difference is between ranked rows, but {row.optimizer} is not: {row.grid.reason}.")
        if row.measures[measure].value is None:
            raise TableError(f"{row.optimizer} has no {measure}: {row.measures[measure].reason}.")
    one, other = first.measures[measure], second.measures[measure]
    value, raw = _minus(one.value, other.value), _minus(one.raw, other.raw)
    names = first.task, measure, first.optimizer, second.optimizer
    sample = _paired_sample(first, second, measure)
    if sample is None:
        return Difference(*names, value, raw, reason="the spread over the seeds is not known")
    p_value = two_sided_p(value, sample)
    test = None if p_value is None else test_of(sample)
    interval = interval_of(value, sample, level)
    if not isinstance(interval, Interval):
        return Difference(*names, value, raw, reason=interval.reason, p_value=p_value, test=test)
    ends = interval.low, interval.high, interval.level, interval.method
    return Difference(*names, value, raw, *ends, p_value=p_value, test=test)


def differences_of(rows: Sequence[Row], tolerance: float | None) -> tuple[Difference, ...]:
    """Return the paired differences of all pairs of ranked rows of a task, in the measures that are compared.

    Args:
        rows: of one task, the better ones first.
        tolerance: of the task, normalised; None where scores cannot be.
    """
    return tuple(itertools.chain.from_iterable(_all_pairs(rows, measure, tolerance) for measure in COMPARED))


def _all_pairs(rows: Sequence[Row], measure: str, tolerance: float | None) -> list[Difference]:
    able = [row for row in rows if row.ranked and row.measures[measure].value is not None]
    pairs = list(itertools.combinations(able, 2))
    level = 1 - (1 - LEVEL) / max(len(pairs), 1)
    found = [_planned(*pair, measure, tolerance, level) for pair in pairs]
    p_values = np.array([np.nan if one.p_value is None else one.p_value for one in found])
    corrected = (None if np.isnan(p) else float(p) for p in holm(p_values))
    return [replace(one, p_adjusted=p) for one, p in zip(found, corrected, strict=True)]


def _planned(first: Row, second: Row, measure: str, tolerance: float | None, level: float) -> Difference:
    """Return a difference that says how many seeds would do."""
    difference, sample = paired_difference(first, second, measure), _paired_sample(first, second, measure)
    if not tolerance or sample is None or sample.by_seed is None or len(sample.by_seed) < MIN_SEEDS:
        return difference
    return replace(difference, n_seeds_needed=seeds_needed(sample.by_seed, tolerance, level))


def with_ranks(rows: Sequence[Row], measure: str = RANKED_BY) -> tuple[Row, ...]:
    """Return the rows of one task, those that are ranked with their rank in a measure of which more is better."""
    able = [row for row in rows if row.ranked and row.measures[measure].value is not None]
    values = [_minus(row.measures[measure].value, 0.0) for row in able]
    p_below = np.full((len(able), len(able)), np.nan)
    for (i, first), (j, second) in itertools.permutations(enumerate(able), 2):
        sample = _paired_sample(first, second, measure)
        p = None if sample is None else p_not_above(values[i] - values[j], sample)
        p_below[i, j] = np.nan if p is None else p
    found: dict[str, Rank] = dict(zip((row.optimizer for row in able), ranks(values, p_below), strict=True))
    return tuple(replace(row, rank=found.get(row.optimizer)) for row in rows)


def mark_leaders(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows of one task with the flag `leads` on measures in which one is better than each other ranked row.

    Better means that the interval of the paired difference lies on one side of zero. All of the differences have to
    say so, each at its own level, which needs no correction for their number (intersection-union test: R. L. Berger,
    Multiparameter Hypothesis Testing and Acceptance Sampling, 1982).
    """
    leaders = {info.name: leader for info in row_measures() if (leader := _leader(rows, info.name)) is not None}
    return tuple(_with_flags(row, [name for name, leader in leaders.items() if leader is row]) for row in rows)


def _leader(rows: Sequence[Row], measure: str) -> Row | None:
    direction = BY_NAME[measure].direction
    able = [row for row in rows if row.ranked and row.measures[measure].value is not None]
    if direction is None or len(able) < 2:
        return None
    sign = 1.0 if direction == "higher" else -1.0
    leader = max(able, key=lambda row: sign * _minus(row.measures[measure].value, 0.0))
    others = [row for row in able if row is not leader]
    return leader if all(paired_difference(leader, row, measure).is_clear for row in others) else None


def _with_flags(row: Row, led: Sequence[str]) -> Row:
    if not led:
        return row
    measures = {
        name: replace(measure, flags=(*measure.flags, LEADS)) if name in led else measure
        for name, measure in row.measures.items()
    }
    return replace(row, measures=measures)


def _paired_sample(first: Row, second: Row, measure: str) -> Sample | None:
    if measure not in first.samples or measure not in second.samples:
        return None
    return first.samples[measure].minus(second.samples[measure])


def _minus(first: float | None, second: float | None) -> float:
    if first is None or second is None:
        raise TableError("a difference needs two numbers.")
    return first - second
