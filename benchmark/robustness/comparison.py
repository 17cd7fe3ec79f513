"""Paired differences between two optimizers, and which optimizer leads in a measure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.errors import TableError
from benchmark.robustness.intervals import LEVEL, Interval, interval_of
from benchmark.robustness.registry import BY_NAME, row_measures
from benchmark.robustness.rows import Row

LEADS = "leads"
ROUNDING = 1e-9  # in the unit of the measure, which is of the size of one


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

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of zero, by more than rounding."""
        return self.low is not None and self.high is not None and (self.low > ROUNDING or self.high < -ROUNDING)


def paired_difference(first: Row, second: Row, measure: str, level: float = LEVEL) -> Difference:
    """Return the difference of a measure between two rows of one task of one table, with its interval.

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
    if measure not in first.samples or measure not in second.samples:
        return Difference(*names, value, raw, reason="the spread over the seeds is not known")
    interval = interval_of(value, first.samples[measure].minus(second.samples[measure]), level)
    if isinstance(interval, Interval):
        return Difference(*names, value, raw, interval.low, interval.high, interval.level, interval.method)
    return Difference(*names, value, raw, reason=interval.reason)


def differences_of(rows: Sequence[Row], measure: str = "grid_mean") -> tuple[Difference, ...]:
    """Return the paired differences of the ranked rows of a task, each less the next one that has the measure."""
    able = [row for row in rows if row.ranked and row.measures[measure].value is not None]
    return tuple(paired_difference(*pair, measure) for pair in itertools.pairwise(able))


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


def _minus(first: float | None, second: float | None) -> float:
    if first is None or second is None:
        raise TableError("a difference needs two numbers.")
    return first - second
