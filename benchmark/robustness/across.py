"""Measures of an optimizer across tasks: what one configuration for all of them costs."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmark.robustness.cells import Cells, TaskCells
from benchmark.robustness.evaluate import ADAPTIVE
from benchmark.robustness.reference import Reference
from benchmark.robustness.registry import PHI
from benchmark.robustness.rows import Measure
from benchmark.robustness.scoring import FloatArray, TaskScoring
from benchmark.robustness.sensitivity import MIN_TASKS, phi
from benchmark.robustness.table import AcrossTasks

NO_INTERVAL = "no interval is defined for it"


def across_tasks(tasks: Sequence[TaskCells], references: Mapping[str, Reference]) -> tuple[AcrossTasks, ...]:
    """Return Phi of each optimizer of the tasks, or the reason why it has none.

    Args:
        tasks: the runs.
        references: by task.
    """
    optimizers = dict.fromkeys(cells.grid.optimizer for task in tasks for cells in task.optimizers)
    return tuple(AcrossTasks(optimizer, {PHI.name: _phi(optimizer, tasks, references)}) for optimizer in optimizers)


def _phi(optimizer: str, tasks: Sequence[TaskCells], references: Mapping[str, Reference]) -> Measure:
    if len(tasks) < MIN_TASKS:
        return Measure(reason=f"it needs {MIN_TASKS} tasks, the table has {len(tasks)}")
    own = [(task.scoring, cells) for task in tasks for cells in task.optimizers if cells.grid.optimizer == optimizer]
    if len(own) < len(tasks):
        return Measure(reason="the optimizer was not run on every task")
    if any(cells.grid.is_adaptive for _, cells in own):
        return Measure(reason=ADAPTIVE)
    if any((cells.grid.axes, cells.grid.points) != (own[0][1].grid.axes, own[0][1].grid.points) for _, cells in own):
        return Measure(reason="its grid is not the same on every task")
    if any(not cells.complete.all() for _, cells in own):
        return Measure(reason="it needs the whole grid on every task, and configurations are incomplete")
    problems = [references[scoring.task].problem for scoring, _ in own]
    if any(problems):
        return Measure(reason=next(problem for problem in problems if problem))
    z = [_normalised(cells, scoring, references[scoring.task]) for scoring, cells in own]
    value = phi(np.stack([validation for validation, _ in z]), np.stack([test for _, test in z]))
    return Measure(value, value, reason=NO_INTERVAL)


def _normalised(cells: Cells, scoring: TaskScoring, reference: Reference) -> tuple[FloatArray, FloatArray]:
    floor = scoring.oriented_floor
    span = (reference.score if reference.score is not None else np.nan) - floor
    validation, test = ((scores.mean(axis=1) - floor) / span for scores in (cells.validation, cells.test))
    return validation, test
