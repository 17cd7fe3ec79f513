"""From a frame of runs to arrays: configurations x seeds for each optimizer on each task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.errors import TableError
from benchmark.robustness.columns import (
    COMPLETED,
    DIAGNOSTICS,
    DIVERGED,
    MISSING,
    STATUSES,
    Runs,
    read_runs,
    score_names,
    score_rows,
)
from benchmark.robustness.levels import best_configuration
from benchmark.robustness.scoring import AxisInfo, BoolArray, FloatArray, GridInfo, IntArray, TaskScoring

NO_RHO = ("rho", 0.0)  # the base optimizer alone, however it is written down: it has no rho
NO_ROWS: IntArray = np.empty(0, dtype=np.int64)
SAME_VALUE = 1e-9  # relative; a csv may hold fewer digits than the 12 that a spec keeps


@dataclass(frozen=True)
class Cells:
    """The runs of one optimizer on one task.

    The arrays have the shape (configurations, seeds); configurations are in the order of the grid.

    Attributes:
        grid: its configurations.
        seeds: the seeds of the task, ascending; the same for every optimizer of it.
        validation: oriented validation scores; the floor for a diverged run, NaN for a missing one.
        test: oriented test scores, likewise.
        status: index into `STATUSES`.
        collapsed: completed runs that learned nothing; None where the frame does not say.
        diagnostics: medians over the completed runs by name; absent where no run has a number.
        amortised: whether seconds are shares of runs that were trained together.
        held: the one value of each hyperparameter that the optimizer has but this grid does not sweep.
    """

    grid: GridInfo
    seeds: IntArray
    validation: FloatArray
    test: FloatArray
    status: NDArray[np.int8]
    collapsed: BoolArray | None
    diagnostics: Mapping[str, float]
    amortised: bool
    held: Mapping[str, float]

    @cached_property
    def diverged(self) -> BoolArray:
        """Which cells diverged."""
        return np.asarray(self.status == DIVERGED)

    @cached_property
    def is_result(self) -> BoolArray:
        """Which cells have a score."""
        return np.asarray((self.status == COMPLETED) | self.diverged)

    @cached_property
    def complete(self) -> BoolArray:
        """Which configurations have a score for every seed; none where there are no seeds."""
        return np.asarray(self.is_result.all(axis=1) & (len(self.seeds) > 0))

    @cached_property
    def best(self) -> int | None:
        """Number of the complete configuration with the best validation mean; None where none is complete."""
        complete = self.complete.nonzero()[0]
        if not len(complete):
            return None
        return int(complete[best_configuration(self.validation[complete].mean(axis=1))])

    @cached_property
    def n_missing(self) -> int:
        """Number of cells without a score."""
        return max(self.is_result.size, self.grid.n_planned) - int(np.count_nonzero(self.is_result))

    def missing(self) -> Iterator[tuple[int, int, str]]:
        """Yield configuration, seed and status of each cell without a score."""
        for configuration, place in zip(*np.nonzero(~self.is_result), strict=True):
            yield int(configuration), int(self.seeds[place]), STATUSES[self.status[configuration, place]]


@dataclass(frozen=True)
class TaskCells:
    """The runs of every optimizer on one task.

    Attributes:
        scoring: how they are scored.
        seeds: all seeds of the task, ascending.
        optimizers: their cells, in the order of the grids.
        has_split: whether validation and test scores are different columns.
    """

    scoring: TaskScoring
    seeds: IntArray
    optimizers: tuple[Cells, ...]
    has_split: bool


def read_cells(
    frame: pd.DataFrame, scorings: Sequence[TaskScoring], grids: Sequence[GridInfo]
) -> tuple[TaskCells, ...]:
    """Arrange the runs of a frame on their grids.

    Args:
        frame: a row a cell; `benchmark.robustness.columns` says which columns. A cell without a row is missing.
        scorings: one a task.
        grids: one an optimizer and task.

    Returns:
        The tasks in the order of `scorings`, without those that have no grid.

    Raises:
        TableError: for a column that is missing or malformed, a run of an unknown task, optimizer or configuration,
            a cell that stands twice, and a completed run without a finite score.
    """
    scored, planned = [scoring.task for scoring in scorings], [(grid.task, grid.optimizer) for grid in grids]
    if len(set(scored)) < len(scored):
        raise TableError(f"a task must be scored once, but got {', '.join(scored)}.")
    if len(set(planned)) < len(planned):
        raise TableError("an optimizer must have one grid a task, but one has two.")
    unscored = sorted({grid.task for grid in grids} - set(scored))
    if unscored:
        raise TableError(f"every task needs a scoring, but {unscored[0]!r} has none.")
    runs = read_runs(frame, scored, may_be_empty=any(grid.is_adaptive for grid in grids))
    rows_of = runs.rows_by_grid()
    unplanned = sorted(set(rows_of) - set(planned))
    if unplanned:
        raise TableError(
            f"every run must be on a grid, but none is given for {unplanned[0][1]!r} on {unplanned[0][0]!r}."
        )
    grids = [
        _found(runs, grid, rows_of.get((grid.task, grid.optimizer), NO_ROWS)) if grid.is_adaptive else grid
        for grid in grids
    ]
    swept = {scoring.task: _swept(grids, scoring.task) for scoring in scorings}
    tasks = []
    for scoring in scorings:
        own = [grid for grid in grids if grid.task == scoring.task]
        if not own:
            continue
        rows = [rows_of.get((grid.task, grid.optimizer), NO_ROWS) for grid in own]
        seeds = np.unique(runs.seed[np.concatenate(rows)])
        cells = [_arrange(runs, scoring, *pair, seeds, swept[scoring.task]) for pair in zip(own, rows, strict=True)]
        validation_name, test_name = score_names(runs, scoring)
        tasks.append(TaskCells(scoring, seeds, tuple(cells), validation_name != test_name))
    return tuple(tasks)


def _swept(grids: Sequence[GridInfo], task: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for grid in grids if grid.task == task for name in grid.names))


def _found(runs: Runs, grid: GridInfo, rows: IntArray) -> GridInfo:
    """Return an adaptive search with the configurations that have runs, in the order of the rows."""
    columns = [runs.numbers(axis.name, rows) for axis in grid.axes]
    if any(not np.isfinite(column).all() for column in columns):
        raise TableError(f"every run of {grid.title} must have a value of {', '.join(grid.names)}.")
    if not len(rows):
        return grid
    kinds = [type(axis.values[0]) for axis in grid.axes]
    rounded = ([kind(value) for value in column] for kind, column in zip(kinds, columns, strict=True))
    points = tuple(dict.fromkeys(zip(*rounded, strict=True)))
    axes = [(axis.name, axis.scale) for axis in grid.axes]
    return grid.of_points(grid.task, grid.optimizer, axes, points, design=grid.design, n_planned=grid.n_planned)


def _arrange(
    runs: Runs, scoring: TaskScoring, grid: GridInfo, rows: IntArray, seeds: IntArray, swept: Sequence[str]
) -> Cells:
    scores = score_rows(runs, scoring, rows)
    held = {name: _only_value(runs, name, grid, rows) for name in swept if name not in grid.names}
    shape = grid.n_configurations, len(seeds)
    places = _configurations(runs, grid, rows) * len(seeds) + np.searchsorted(seeds, runs.seed[rows])
    _check_once(places, grid, seeds)
    status = np.full(shape, MISSING, dtype=np.int8)
    validation, test = np.full(shape, np.nan), np.full(shape, np.nan)
    for array, values in ((status, scores.status), (validation, scores.validation), (test, scores.test)):
        array.reshape(-1)[places] = values
    collapsed = None
    if runs.collapsed is not None:
        collapsed = np.zeros(shape, dtype=np.bool_)
        collapsed.reshape(-1)[places] = runs.collapsed[rows] & (scores.status == COMPLETED)
    completed = rows[scores.status == COMPLETED]
    return Cells(
        grid=grid,
        seeds=seeds,
        validation=validation,
        test=test,
        status=status,
        collapsed=collapsed,
        diagnostics=_medians(runs, completed),
        amortised=bool(np.any(runs.numbers("amortised", completed) == 1)),
        held={name: value for name, value in held.items() if value is not None and (name, value) != NO_RHO},
    )


def _configurations(runs: Runs, grid: GridInfo, rows: IntArray) -> IntArray:
    for axis in grid.axes:
        if axis.name not in runs.frame:
            raise TableError(f"the frame must have a column {axis.name}, which {grid.title} sweeps.")
    places = [_places(runs, grid, axis, rows) for axis in grid.axes]
    if grid.design != "grid":
        return _of_design(grid, np.stack(places, axis=1))
    number = np.zeros(len(rows), dtype=np.int64)
    for axis, own in zip(grid.axes, places, strict=True):
        number = number * len(axis.values) + own
    return number


def _of_design(grid: GridInfo, places: IntArray) -> IntArray:
    """Return the numbers of the configurations with these places on the axes, shape (rows, axes)."""
    values = np.array(grid.points, dtype=np.float64).reshape(len(grid.points), len(grid.axes))
    own = [np.searchsorted(axis.numbers, values[:, column]) for column, axis in enumerate(grid.axes)]
    both = np.concatenate([np.stack(own, axis=1), places])
    _, codes = np.unique(both, axis=0, return_inverse=True)
    number_of = np.full(codes.max(initial=0) + 1, -1)
    number_of[codes[: len(grid.points)]] = np.arange(len(grid.points))
    numbers = number_of[codes[len(grid.points) :]]
    if (numbers < 0).any():
        raise TableError(
            f"every run must be one of the {len(grid.points)} configurations of its design, but "
            f"{np.count_nonzero(numbers < 0)} of {grid.title} are not."
        )
    return numbers.astype(np.int64)


def _places(runs: Runs, grid: GridInfo, axis: AxisInfo, rows: IntArray) -> IntArray:
    values, points = runs.numbers(axis.name, rows), axis.numbers
    above = np.searchsorted(points, values).clip(max=len(points) - 1)
    below = (above - 1).clip(min=0)
    nearest = np.where(np.abs(values - points[below]) < np.abs(values - points[above]), below, above)
    off = np.flatnonzero(~np.isclose(values, points[nearest], rtol=SAME_VALUE, atol=0))
    if len(off):
        raise TableError(
            f"every run must be on the grid of its optimizer, but {len(off)} of {grid.title} are not, first in row "
            f"{int(rows[off[0]])} (counted from 0) with {axis.name}={float(values[off[0]])!r}."
        )
    return nearest.astype(np.int64)


def _check_once(places: IntArray, grid: GridInfo, seeds: IntArray) -> None:
    counts = np.bincount(places, minlength=grid.n_configurations * len(seeds))
    if len(counts) and counts.max() > 1:
        configuration, seed = divmod(int(counts.argmax()), len(seeds))
        point = ", ".join(f"{name}={value!r}" for name, value in grid.hyperparameters(configuration).items())
        raise TableError(
            f"a cell must stand once in the frame, but {grid.title} at {point or 'its one configuration'}, "
            f"seed {int(seeds[seed])} stands {int(counts.max())} times; is a seed or a swept hyperparameter left out?"
        )


def _only_value(runs: Runs, name: str, grid: GridInfo, rows: IntArray) -> float | None:
    values = runs.numbers(name, rows)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    if not np.allclose(values, values[0], rtol=SAME_VALUE, atol=0):
        raise TableError(f"{grid.title} varies {name}, which its grid does not name.")
    return float(values[0])


def _medians(runs: Runs, rows: IntArray) -> dict[str, float]:
    medians = {}
    for name in DIAGNOSTICS:
        values = runs.numbers(name, rows)
        values = values[np.isfinite(values)]
        if len(values):
            medians[name] = float(np.median(values))
    return medians
