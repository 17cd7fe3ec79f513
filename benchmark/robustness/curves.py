"""Tuning curves: what to expect from tuning with one trial, two trials, and so on to the whole grid."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.robustness.cells import Cells, TaskCells
from benchmark.robustness.inference import tasks_of
from benchmark.robustness.intervals import band_of, weights_for
from benchmark.robustness.marginal import Numbers, known
from benchmark.robustness.scoring import FloatArray, GridInfo, TaskScoring
from benchmark.robustness.tuning import expected_best

MAX_POINTS = 64  # of a curve: of a larger grid some numbers of trials are shown, evenly on a logarithmic axis


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """The expected test score of the best of k configurations, over k, in raw units.

    Attributes:
        task: label of the task.
        optimizer: label.
        trials: the numbers k, from 1 to the number of complete configurations.
        value: mean over the seeds.
        low: lower ends of pointwise intervals; None where the seeds allow none, or do not differ.
        high: upper ends.
        level: nominal coverage of each.
        method: how they were made.
    """

    task: str
    optimizer: str
    trials: tuple[int, ...]
    value: tuple[float, ...]
    low: Numbers | None
    high: Numbers | None
    level: float | None
    method: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as plain values that JSON can hold."""
        return asdict(self)


def tuning_curves(
    frame: pd.DataFrame, scorings: TaskScoring | Sequence[TaskScoring], grids: Sequence[GridInfo] | None = None
) -> tuple[TuningCurve, ...]:
    """Return the tuning curve of each optimizer on each task: measure 6 for every k.

    Per seed the exact expectation without replacement, picked by that seed's validation scores and reported on its test
    scores, then the mean over the seeds. At k = 1 it is the grid mean; at k = n the best of each seed by itself, which
    is not the score of the configuration with the best mean. Adaptive searches and optimizers without a complete
    configuration have none.

    Source: Dodge et al., Show Your Work, 2019, arXiv:1909.03004, for the curve; Tang et al. 2020, arXiv:2004.13705, for
    the estimator.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task; inferred from the frame where not given.

    Raises:
        TableError: where the runs allow no table, with what is wrong and where.
    """
    tasks = tasks_of(frame, scorings, grids)
    return tuple(one for task in tasks for one in tuning_curves_of(task))


def tuning_curves_of(task: TaskCells) -> list[TuningCurve]:
    """Return the tuning curves of one task."""
    weights = weights_for(len(task.seeds))
    able = (cells for cells in task.optimizers if cells.complete.any() and not cells.grid.is_adaptive)
    return [_curve(task.scoring, cells, weights) for cells in able]


def _curve(scoring: TaskScoring, cells: Cells, weights: FloatArray | None) -> TuningCurve:
    trials = _trials(int(cells.complete.sum()))
    by_seed = expected_best(cells.validation[cells.complete], cells.test[cells.complete], trials).T
    value, band = by_seed.mean(axis=0), band_of(by_seed, weights)
    ends = (None, None) if band is None else (band.low, band.high)
    if scoring.goal == "minimize":
        value = -value
        ends = (None, None) if band is None else (-band.high, -band.low)
    low, high = (None if end is None else known(end) for end in ends)
    return TuningCurve(
        task=scoring.task,
        optimizer=cells.grid.optimizer,
        trials=trials,
        value=tuple(value.tolist()),
        low=low,
        high=high,
        level=None if band is None else band.level,
        method=None if band is None else band.method,
    )


def _trials(n: int) -> tuple[int, ...]:
    if n <= MAX_POINTS:
        return tuple(range(1, n + 1))
    return tuple(sorted({round(k) for k in np.geomspace(1, n, MAX_POINTS).tolist()}))
