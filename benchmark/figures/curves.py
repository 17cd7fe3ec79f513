"""Learning curves as a figure of lines: score and training loss over the steps, at the best of each optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.figures.data import FindRecords, rows_of_task
from benchmark.figures.lines import Line, LineFigure, LinePanel
from benchmark.figures.styles import numbered
from benchmark.records import Record, Scalar
from benchmark.robustness.cells import TaskCells
from benchmark.robustness.scoring import FloatArray

LOSS = "train_loss"
NOTE = "Lines: median over the seeds. Bands: from their lower to their upper quartile."


@dataclass(frozen=True)
class _Best:
    """The runs of the best configuration of one optimizer on one task, one a seed."""

    task: TaskCells
    optimizer: str
    hyperparameters: Mapping[str, Scalar]
    keys: tuple[str, ...]

    @property
    def text(self) -> str:
        """The configuration for people."""
        return ", ".join([self.optimizer, *(f"{name} {value:.3g}" for name, value in self.hyperparameters.items())])


def prepare_curves(tasks: Sequence[TaskCells], frame: pd.DataFrame, find: FindRecords, rows: str = "") -> LineFigure:
    """Return what to draw of learning curves: of each task its score, and the training loss, over the steps.

    A seed that diverged counts from there on as it does in the robustness table, with the floor, and with an infinite
    loss, so that it is not lost from a median.

    Args:
        tasks: the runs.
        frame: of the runs, with the column `config_key`.
        find: returns the records of cells with their curves, by config_key.
        rows: what is to be said of single lines.

    Raises:
        TableError: where no optimizer has a complete configuration, or none of the curves was kept.
    """
    every = [best for task in tasks for best in _best_of(task, frame)]
    if not every:
        raise TableError("learning curves need a complete configuration, but no optimizer has one.")
    records = find([key for best in every for key in best.keys])
    styles = numbered(best.optimizer for best in every)
    panels = []
    for task in tasks:
        own = [best for best in every if best.task is task]
        score = f"test_{task.scoring.metric}" if task.has_split else task.scoring.metric
        for name, after in ((score, task.scoring.floor), (LOSS, np.inf)):
            found = [_line(best, records, name, after, styles[best.optimizer]) for best in own]
            lines = tuple(line for line in found if line is not None)
            if lines:
                title = task.scoring.task if len(tasks) > 1 else ""
                panels.append(LinePanel(title, "step", name.replace("_", " ", 1), lines))
    if not panels:
        raise TableError("learning curves need runs whose curves were kept, but the best configurations have none.")
    configurations = "; ".join(dict.fromkeys(best.text for best in every))
    note = " ".join(filter(None, (f"At the best by validation: {configurations}.", NOTE, rows)))
    return LineFigure("Learning curves of the best configuration of each optimizer", tuple(panels), note)


def _best_of(task: TaskCells, frame: pd.DataFrame) -> list[_Best]:
    found = []
    own = rows_of_task(frame, task.scoring.task)
    for cells in task.optimizers:
        if cells.best is None:
            continue
        hyperparameters = cells.grid.hyperparameters(cells.best)
        runs = own[own["optimizer"] == cells.grid.optimizer]
        for name, value in hyperparameters.items():
            runs = runs[runs[name] == value]
        found.append(_Best(task, cells.grid.optimizer, hyperparameters, tuple(runs["config_key"])))
    return found


def _line(best: _Best, records: Mapping[str, Record], name: str, after: float, style: int) -> Line | None:
    """Return the median curve of a series over the seeds; None where no run has it."""
    outcomes = [records[key].outcome for key in best.keys if key in records]
    curves = [(outcome.curve.get("step", ()), outcome.curve.get(name, ())) for outcome in outcomes]
    steps = np.unique([step for points, values in curves for step in points[: len(values)]])
    if not len(steps):
        return None
    by_seed = np.full((len(curves), len(steps)), np.nan)
    for row, (outcome, (points, values)) in zip(by_seed, zip(outcomes, curves, strict=True), strict=True):
        row[np.searchsorted(steps, points[: len(values)])] = values
        if outcome.diverged_at_step is not None:
            row[steps >= outcome.diverged_at_step] = after
    y = _quantile(by_seed, 0.5)
    if len(curves) < 2:
        return Line(best.optimizer, style, steps, y, has_points=False)
    low, high = (_quantile(by_seed, share) for share in (0.25, 0.75))
    return Line(best.optimizer, style, steps, y, low, high, has_points=False)


def _quantile(by_seed: FloatArray, share: float) -> FloatArray:
    """Return a quantile over the seeds that have a value; NaN where it is not finite."""
    found = np.array([_between(np.sort(column[~np.isnan(column)]), share) for column in by_seed.T])
    return np.where(np.isfinite(found), found, np.nan)


def _between(ordered: FloatArray, share: float) -> float:
    """Return a quantile, linear between order statistics, of values that may be infinite; NaN of none."""
    if not len(ordered):
        return np.nan
    place = share * (len(ordered) - 1)
    low = int(place)
    below = float(ordered[low])
    return below if place == low else below + (place - low) * (float(ordered[low + 1]) - below)
