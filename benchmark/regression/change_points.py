"""Change points: when a series of numbers, one a run, went to another level and stayed there for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from benchmark.robustness.scoring import FloatArray

MIN_SIZE = 2  # of a level: one value that stands out is none
NOISE_OF_MARGIN = 0.25  # what repeats to the last bit has no noise of its own
NORMAL_MEDIAN = 0.6744897501960817  # of the absolute value of a standard normal number


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of level.

    Attributes:
        index: of the first value of the new level.
        before: mean of the old level.
        after: mean of the new one.
    """

    index: int
    before: float
    after: float


def shifts(values: Sequence[float | None], margin: float) -> tuple[Shift, ...]:
    """Return where a series changed its level by the margin or more, in the order of the series.

    The segments are those of least squares with a penalty of 3 sigma^2 log(n) each, found exactly; sigma is the median
    absolute difference of neighbours, which a few changes of level do not move, over that of normal noise. A value that
    is a segment by itself is left out as an outlier, and several such in a row are one level. Changes below the margin
    are then taken back, the smallest first.
    Source: B. Jackson et al., An Algorithm for Optimal Partitioning of Data on an Interval, 2005; the penalty is the
    leading term of N. Zhang and D. Siegmund, A Modified Bayes Information Criterion with Applications to the Analysis
    of Comparative Genomic Hybridization Data, 2007.

    Args:
        values: one a run; those of None are left out.
        margin: the smallest change that matters, in the unit of the values; positive.
    """
    if not margin > 0:
        raise ValueError(f"the margin must be positive, but got margin={margin}.")
    places = [index for index, value in enumerate(values) if value is not None]
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) < 2 * MIN_SIZE or np.ptp(known) < margin:
        return ()
    noise = max(_noise(known), NOISE_OF_MARGIN * margin)
    levels = _levels(np.split(known, segment_starts(known, 3 * noise**2 * np.log(len(known)))[1:]))
    found = _merged(levels, margin)
    return tuple(Shift(places[new.start], old.mean, new.mean) for old, new in pairwise(found))


def segment_starts(values: FloatArray, penalty: float) -> list[int]:
    """Return where the segments of least squared error plus a penalty a segment begin.

    Args:
        values: at least one.
        penalty: positive.
    """
    n, centred = len(values), values - np.median(values)
    sums, squares = (np.concatenate([[0.0], np.cumsum(centred**power)]) for power in (1, 2))
    total = np.zeros(n + 1)  # of the best segments up to a place
    previous = np.zeros(n + 1, dtype=np.int64)
    for end in range(1, n + 1):
        starts = np.arange(end)
        errors = squares[end] - squares[:end] - (sums[end] - sums[:end]) ** 2 / (end - starts)
        totals = total[:end] + errors + penalty
        previous[end] = totals.argmin()
        total[end] = totals[previous[end]]
    found, end = [], n
    while end:
        end = int(previous[end])
        found.append(end)
    return found[::-1]


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    values: FloatArray

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def joined(self, later: "_Level") -> "_Level":
        return _Level(self.start, np.concatenate([self.values, later.values]))


def _noise(values: FloatArray) -> float:
    """Return the standard deviation of normal noise whose neighbours differ as these do, and more for a short series.

    With 4 / n more, at most one series of normal noise in twenty seems to change, however short it is (by simulation).
    """
    sigma = float(np.median(np.abs(np.diff(values))) / (NORMAL_MEDIAN * np.sqrt(2)))
    return sigma * (1 + 4 / len(values))


def _levels(segments: Sequence[FloatArray]) -> list[_Level]:
    """Return the levels that segments make: those of one value are one level together, or none."""
    found: list[_Level] = []
    start = 0
    for is_long, group in groupby(segments, key=lambda segment: len(segment) >= MIN_SIZE):
        members = [*group]
        for values in members if is_long else [np.concatenate(members)]:
            if len(values) >= MIN_SIZE:
                found.append(_Level(start, values))
            start += len(values)
    return found


def _merged(levels: Sequence[_Level], margin: float) -> list[_Level]:
    """Return the levels without those whose change is below the margin."""
    kept = list(levels)
    while len(kept) > 1:
        sizes = [abs(new.mean - old.mean) for old, new in pairwise(kept)]
        smallest = sizes.index(min(sizes))
        if sizes[smallest] >= margin:
            break
        kept[smallest : smallest + 2] = [kept[smallest].joined(kept[smallest + 1])]
    return kept
