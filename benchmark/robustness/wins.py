"""How often one optimizer beats another at the same configuration with the same seed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from benchmark.robustness.cells import Cells
from benchmark.robustness.common import CommonGrid
from benchmark.robustness.intervals import Interval, Sample, interval_of
from benchmark.robustness.scoring import FloatArray


@dataclass(frozen=True, slots=True)
class Wins:
    """The paired share of wins of one optimizer over another.

    Attributes:
        task: label of the task.
        first: label of the optimizer whose wins are counted.
        second: label of the other.
        share: of the cells of the common grid in which the first has the better test score; a tie counts half.
        low: lower end of the interval; None where there is none.
        high: upper end.
        level: nominal coverage.
        method: how the interval was made.
        reason: why there is no interval.
    """

    task: str
    first: str
    second: str
    share: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the share as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the share that `to_dict` wrote."""
        return cls(**document)


def on_common_grid(cells: Cells, common: CommonGrid) -> FloatArray:
    """Return the test scores on the common grid, of an optimizer that can be ranked on it.

    Along an axis that the optimizer does not have its scores are repeated.

    Returns:
        Shape (configurations of the common grid, seeds), a view where it can be one.
    """
    axes, n_seeds = common.axes or (), len(cells.seeds)
    if common.design != "grid":
        return np.broadcast_to(cells.test, (common.n_configurations, n_seeds))
    names = [axis.name for axis in axes]
    order = sorted(range(len(cells.grid.names)), key=lambda place: names.index(cells.grid.names[place]))
    shaped = cells.test.reshape(*cells.grid.shape, n_seeds).transpose(*order, len(order))
    sizes = [len(axis.values) if axis.name in cells.grid.names else 1 for axis in axes]
    full = [len(axis.values) for axis in axes]
    return np.broadcast_to(shaped.reshape(*sizes, n_seeds), (*full, n_seeds)).reshape(-1, n_seeds)


def wins_by_seed(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return for each seed the share of configurations in which the first score is higher; a tie counts half.

    P(X > Y) + P(X = Y) / 2 of pairs, not of independent samples as in Agarwal et al. 2021, arXiv:2108.13264: a
    configuration and a seed share split, initialisation and batch order.

    Args:
        first: oriented scores, shape (configurations, seeds), no NaN.
        second: likewise.
    """
    return np.asarray((first > second).mean(axis=0) + (first == second).mean(axis=0) / 2)


def paired_wins(
    task: str, first: str, second: str, scores: Mapping[str, FloatArray], weights: FloatArray | None
) -> Wins:
    """Return the paired share of wins of one optimizer over another, with its interval over the seeds.

    Args:
        task: label of the task.
        first: label of the optimizer whose wins are counted.
        second: label of the other.
        scores: of both on the common grid, by label.
        weights: of the seeds in each resample; None under ten seeds.
    """
    by_seed = wins_by_seed(scores[first], scores[second])
    share = float(by_seed.mean())
    found = interval_of(share, Sample(by_seed, None if weights is None else weights @ by_seed, len(by_seed)))
    if isinstance(found, Interval):
        ends = max(found.low, 0.0), min(found.high, 1.0)
        return Wins(task, first, second, share, *ends, found.level, found.method)
    return Wins(task, first, second, share, reason=found.reason)
