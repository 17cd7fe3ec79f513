"""The grids of one's own runs, read off the runs themselves."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.robustness.cells import TaskCells, read_cells
from benchmark.robustness.choices import SWEPT
from benchmark.robustness.columns import read_runs
from benchmark.robustness.scoring import AxisInfo, FloatArray, GridInfo, Scale, TaskScoring

MAX_CELLS = 10_000_000
EVEN = 0.01  # steps that differ by less than this share are even


def tasks_of(
    frame: pd.DataFrame, scorings: TaskScoring | Sequence[TaskScoring], grids: Sequence[GridInfo] | None
) -> tuple[TaskCells, ...]:
    """Arrange the runs of a frame on the grids that were planned, or on those that they span.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: one an optimizer and task; inferred from the frame where not given.

    Raises:
        TableError: as `infer_grids` and `read_cells` do.
    """
    given = (scorings,) if isinstance(scorings, TaskScoring) else tuple(scorings)
    return read_cells(frame, given, infer_grids(frame, given) if grids is None else grids)


def infer_grids(
    frame: pd.DataFrame, scorings: TaskScoring | Sequence[TaskScoring], hyperparameters: Sequence[str] = SWEPT
) -> tuple[GridInfo, ...]:
    """Return the grids that the runs of a frame span: every combination of the values that an optimizer has.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        hyperparameters: columns that may have been swept. One with a single value is held, not swept; one that is
            empty for an optimizer is none of its hyperparameters.

    Returns:
        One grid for each optimizer and task, in the order in which the frame names them.

    Raises:
        TableError: for a column that is malformed, and for runs too scattered to be a grid.
    """
    given = (scorings,) if isinstance(scorings, TaskScoring) else tuple(scorings)
    runs = read_runs(frame, [scoring.task for scoring in given])
    grids = []
    for (task, optimizer), rows in runs.rows_by_grid().items():
        columns = {name: runs.numbers(name, rows) for name in hyperparameters if name in frame}
        axes = [_axis(name, values) for name, values in columns.items()]
        grid = GridInfo(task, optimizer, tuple(axis for axis in axes if axis is not None))
        if grid.n_configurations > MAX_CELLS:
            raise TableError(
                f"the runs must lie on a grid, but those of {grid.title} span {grid.n_configurations} configurations."
            )
        grids.append(grid)
    return tuple(grids)


def _axis(name: str, values: FloatArray) -> AxisInfo | None:
    rounded = _distinct(values[np.isfinite(values)])
    return AxisInfo(name, _scale(rounded), tuple(rounded.tolist())) if len(rounded) > 1 else None


def _distinct(values: FloatArray) -> FloatArray:
    unique = np.unique(values)
    if len(unique) < 2:
        return unique
    apart = ~np.isclose(unique[1:], unique[:-1], rtol=1e-9, atol=0)
    return unique[np.insert(apart, 0, True)]


def _scale(values: FloatArray) -> Scale:
    if len(values) < 3:
        return "log" if values[0] > 0 and values[-1] >= 10 * values[0] else "values"
    if values[0] > 0 and _is_even(np.diff(np.log(values))):
        return "log"
    return "linear" if _is_even(np.diff(values)) else "values"


def _is_even(steps: FloatArray) -> bool:
    return math.isclose(float(steps.min()), float(steps.max()), rel_tol=EVEN)
