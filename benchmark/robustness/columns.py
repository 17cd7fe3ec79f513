"""The columns of a frame of runs: which there are, their types, and what is filled in where one is left out.

One row is one cell, that is one training run:

    task, optimizer   labels; `task` may be left out where there is one task
    seed              a whole number; may be left out where no configuration stands twice
    status            completed, diverged, timed_out, failed, or missing for a planned cell that has not run; without
                      this column every row is a finished run, and one whose score is not finite has diverged
    collapsed         whether a completed run learned nothing; without it the table has no rate of collapsed runs
    lr, rho, ...      the swept hyperparameters; NaN or absent where an optimizer has none
    val_X, test_X     validation and test score by the metric X; a lone column X serves as both
    grad_norm, delta_over_rho, gradient_evaluations, elapsed_s, amortised
                      diagnostics, each of which may be left out
    sharpness_X       a measure of sharpness, likewise
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.errors import TableError
from benchmark.records import Status
from benchmark.robustness.scoring import BoolArray, FloatArray, IntArray, TaskScoring
from benchmark.sharpness import COLUMNS

STATUSES: tuple[str, ...] = (*(str(status) for status in Status), "missing")
MISSING = STATUSES.index("missing")
COMPLETED = STATUSES.index("completed")
DIVERGED = STATUSES.index("diverged")
SHARPNESS = tuple(names[0] for names in COLUMNS.values())
DIAGNOSTICS = ("grad_norm", "delta_over_rho", "gradient_evaluations", "elapsed_s", *SHARPNESS)


@dataclass(frozen=True)
class Runs:
    """A frame of runs with its columns checked; row numbers count from 0 whatever the index of the frame is.

    Attributes:
        frame: the frame as it was given.
        task: label of each row's task.
        optimizer: label of each row's optimizer.
        seed: seed of each row.
        status: index into `STATUSES` of each row; None where the scores have to tell.
        collapsed: which rows collapsed; None where the frame does not say.
    """

    frame: pd.DataFrame
    task: pd.Series
    optimizer: pd.Series
    seed: IntArray
    status: NDArray[np.int8] | None
    collapsed: BoolArray | None

    def numbers(self, name: str, rows: IntArray) -> FloatArray:
        """Return a column as numbers; NaN where it is empty or absent."""
        if name not in self.frame:
            return np.full(len(rows), np.nan)
        return _numbers(self.frame[name].iloc[rows], name, rows)

    def rows_by_grid(self) -> dict[tuple[str, str], IntArray]:
        """Return the rows of each task and optimizer, in the order in which the frame names them."""
        if self.frame.empty:
            return {}
        task_codes, tasks = pd.factorize(self.task)
        optimizer_codes, optimizers = pd.factorize(self.optimizer)
        codes = task_codes.astype(np.int64) * len(optimizers) + optimizer_codes
        order = np.argsort(codes, kind="stable")
        found, starts = np.unique(codes[order], return_index=True)
        groups = zip(found, np.split(order, starts[1:]), strict=True)
        return {
            (str(tasks[code // len(optimizers)]), str(optimizers[code % len(optimizers)])): rows
            for code, rows in sorted(groups, key=lambda group: int(group[1][0]))
        }


@dataclass(frozen=True)
class ScoredRows:
    """Oriented scores of some rows: the floor for a diverged run, NaN for one without a result."""

    validation: FloatArray
    test: FloatArray
    status: NDArray[np.int8]


def read_runs(frame: pd.DataFrame, tasks: Sequence[str], *, may_be_empty: bool = False) -> Runs:
    """Check the columns of a frame that do not depend on the task.

    Args:
        frame: one row a run.
        tasks: labels of the tasks that are scored.
        may_be_empty: whether there need not be a run yet.

    Raises:
        TableError: where a column is missing or malformed.
    """
    if frame.empty and not may_be_empty:
        raise TableError("a table needs at least one run, but the frame has no rows.")
    duplicated = frame.columns[frame.columns.duplicated()]
    if len(duplicated):
        raise TableError(f"the columns of the frame must differ, but {duplicated[0]!r} stands twice.")
    if "optimizer" not in frame:
        raise TableError(f"the frame must have a column optimizer; it has: {', '.join(map(str, frame.columns))}.")
    if "task" in frame:
        task = _labels(frame, "task")
    elif len(tasks) == 1:
        task = pd.Series(tasks[0], index=frame.index)
    else:
        raise TableError("the frame must have a column task where more than one task is scored.")
    unknown = sorted(set(task.unique()) - set(tasks))
    if unknown:
        raise TableError(
            f"every task needs a scoring, but {unknown[0]!r} has none; scored are: {', '.join(sorted(tasks))}."
        )
    return Runs(frame, task, _labels(frame, "optimizer"), _seeds(frame), _statuses(frame), _flags(frame, "collapsed"))


def score_names(runs: Runs, scoring: TaskScoring) -> tuple[str, str]:
    """Return the names of the columns with the validation and the test score; the same one for a task without split.

    Where a frame has both forms, for it may hold tasks of both kinds, the lone column counts where this task has a
    value in it.

    Raises:
        TableError: where the frame has neither both nor the lone column.
    """
    names = f"val_{scoring.metric}", f"test_{scoring.metric}"
    has_split, has_lone = all(name in runs.frame for name in names), scoring.metric in runs.frame
    if has_lone and has_split:
        has_lone = bool(runs.frame.loc[(runs.task == scoring.task).to_numpy(), scoring.metric].notna().any())
    if has_lone:
        return scoring.metric, scoring.metric
    if has_split:
        return names
    raise TableError(
        f"the frame must have the columns {names[0]} and {names[1]}, or {scoring.metric} for a task without split, "
        f"to score {scoring.task}."
    )


def score_rows(runs: Runs, scoring: TaskScoring, rows: IntArray) -> ScoredRows:
    """Score some rows of one task.

    Raises:
        TableError: where a completed run has no finite score.
    """
    names = score_names(runs, scoring)
    validation, test = (runs.numbers(name, rows) for name in names)
    finite = np.isfinite(validation) & np.isfinite(test)
    if runs.status is None:
        status = np.where(finite, COMPLETED, DIVERGED).astype(np.int8)
    else:
        status = runs.status[rows]
        odd = np.flatnonzero((status == COMPLETED) & ~finite)
        if len(odd):
            raise TableError(
                f"a completed run must have a finite score, but {len(odd)} of {scoring.task} have none, first in row "
                f"{int(rows[odd[0]])} (counted from 0); a run whose score is not finite is diverged."
            )
    return ScoredRows(_oriented(validation, status, scoring), _oriented(test, status, scoring), status)


def _oriented(scores: FloatArray, status: NDArray[np.int8], scoring: TaskScoring) -> FloatArray:
    oriented = np.where(status == COMPLETED, scoring.orient(scores), np.nan)
    oriented[status == DIVERGED] = scoring.oriented_floor
    return oriented


def _labels(frame: pd.DataFrame, name: str) -> pd.Series:
    column = frame[name]
    lacking = column.isna().to_numpy()
    if lacking.any():
        raise TableError(
            f"every run must have a label in the column {name}, but {np.count_nonzero(lacking)} have none, "
            f"first in row {int(lacking.argmax())} (counted from 0)."
        )
    return column if isinstance(column.dtype, pd.StringDtype) else column.astype(str)


def _seeds(frame: pd.DataFrame) -> IntArray:
    if "seed" not in frame:
        return np.zeros(len(frame), dtype=np.int64)
    numbers = _numbers(frame["seed"], "seed")
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    if not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise TableError(f"a seed must be a whole number, but row {row} (counted from 0) has {float(numbers[row])!r}.")
    return numbers.astype(np.int64)


def _statuses(frame: pd.DataFrame) -> NDArray[np.int8] | None:
    if "status" not in frame:
        return None
    codes, names = pd.factorize(frame["status"], use_na_sentinel=False)
    unknown = [name for name in names if name not in STATUSES]
    if unknown:
        row = int((codes == list(names).index(unknown[0])).argmax())
        raise TableError(f"unknown status {unknown[0]!r} in row {row} (counted from 0); known: {', '.join(STATUSES)}.")
    return np.array([STATUSES.index(name) for name in names], dtype=np.int8)[codes]


def _flags(frame: pd.DataFrame, name: str) -> BoolArray | None:
    if name not in frame:
        return None
    numbers = np.nan_to_num(_numbers(frame[name], name))
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise TableError(f"the column {name} must hold true and false only.")
    return np.asarray(numbers == 1.0)


def _numbers(column: pd.Series, name: str, rows: IntArray | None = None) -> FloatArray:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        is_bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
        place = int(is_bad.to_numpy().argmax())
        row = place if rows is None else int(rows[place])
        raise TableError(
            f"the column {name} must hold numbers, but row {row} (counted from 0) has {str(column.iloc[place])!r}."
        ) from error
