"""The response surface: each optimizer's scores over its hyperparameters, averaged over the seeds."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmark.robustness.cells import Cells, TaskCells
from benchmark.robustness.columns import STATUSES
from benchmark.robustness.inference import tasks_of
from benchmark.robustness.scoring import BoolArray, FloatArray, GridInfo, TaskScoring

Split = Literal["validation", "test"]


def surfaces(
    frame: pd.DataFrame,
    scorings: TaskScoring | Sequence[TaskScoring],
    grids: Sequence[GridInfo] | None = None,
    *,
    split: Split = "test",
) -> list[dict[str, Any]]:
    """Return the surface of each optimizer on each task, as plain values that JSON can hold.

    Scores are in raw units and enter as they do in the robustness table: a diverged run scores the floor, a minimised
    metric is cut at it. Unlike there, the mean of a point is over the seeds that have a result, and `n_missing` says
    how many have none: a surface is looked at while it grows.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task; inferred from the frame where not given.
        split: which scores to show; the same ones for a task without split.

    Raises:
        TableError: where the runs allow no surface, with what is wrong and where.
    """
    return surfaces_of(tasks_of(frame, scorings, grids), split)


def surfaces_of(tasks: Iterable[TaskCells], split: Split = "test") -> list[dict[str, Any]]:
    """Return the surfaces of runs that are arranged already, as `surfaces` does."""
    return [_surface(task, cells, split) for task in tasks for cells in task.optimizers]


def _surface(task: TaskCells, cells: Cells, split: Split) -> dict[str, Any]:
    scoring = task.scoring
    oriented = cells.validation if split == "validation" else cells.test
    return {
        "task": scoring.task,
        "optimizer": cells.grid.optimizer,
        "metric": scoring.metric,
        "goal": scoring.goal,
        "split": split if task.has_split else None,
        "seeds": task.seeds.tolist(),
        "design": cells.grid.design,
        "axes": [axis.to_dict() for axis in cells.grid.axes],
        "points": _points(cells, oriented if scoring.goal == "maximize" else -oriented),
    }


def _points(cells: Cells, scores: FloatArray) -> list[dict[str, Any]]:
    n_results = cells.is_result.sum(axis=1)
    filled = np.where(cells.is_result, scores, 0.0)
    mean = filled.sum(axis=1) / np.maximum(n_results, 1)
    spread = np.where(cells.is_result, scores - mean[:, np.newaxis], 0.0)
    sd = np.sqrt((spread**2).sum(axis=1) / np.maximum(n_results - 1, 1))
    columns = {
        "mean": _known(mean, n_results >= 1),
        "sd": _known(sd, n_results >= 2),
        "per_seed": _known(scores, cells.is_result),
        "status_per_seed": _statuses(cells),
        "n_diverged": cells.diverged.sum(axis=1).tolist(),
        "n_collapsed": [0] * len(scores) if cells.collapsed is None else cells.collapsed.sum(axis=1).tolist(),
        "n_missing": (scores.shape[1] - n_results).tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [
        {"hyperparameters": cells.grid.hyperparameters(number), **dict(zip(columns, row, strict=True))}
        for number, row in enumerate(rows)
    ]


def _statuses(cells: Cells) -> list[list[str]]:
    """Return how each run ended, in a word; `collapsed` for one that completed and had learned nothing."""
    words = np.array(STATUSES, dtype=np.object_)[cells.status]
    if cells.collapsed is not None:
        words[cells.collapsed] = "collapsed"
    return list(words.tolist())


def _known(values: FloatArray, known: BoolArray) -> list[Any]:
    """Return an array as lists, with None where nothing is known."""
    plain = values.astype(np.object_)
    plain[~known] = None
    return list(plain.tolist())
