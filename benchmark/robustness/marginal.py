"""Marginal sensitivity: the score along one hyperparameter, with the others where the best configuration has them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.records import Scalar
from benchmark.robustness.cells import Cells, TaskCells
from benchmark.robustness.inference import tasks_of
from benchmark.robustness.intervals import Interval, Sample, band_of, interval_of, weights_for
from benchmark.robustness.scoring import FloatArray, GridInfo, IntArray, TaskScoring

FACTORS = (0.1, 0.5, 2.0, 10.0)
SLACK = 1e-9  # of a distance on a log axis: a value at the end of the grid is on it whatever rounding did

Numbers = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """What is lost where a hyperparameter is off by a factor.

    Attributes:
        factor: on the value of the best configuration.
        value: mean over the seeds of the best configuration's test score less the score there, in raw units and
            positive where it is worse there; between two values of the grid that of the line through their scores, over
            the logarithm of the hyperparameter. None where the grid does not reach.
        low: lower end of the interval of `value`, paired by seed.
        high: upper end.
        level: nominal coverage.
        method: how the interval was made.
        reason: why there is no value or no interval.
    """

    factor: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """The test score of one optimizer along one hyperparameter, in raw units.

    Attributes:
        task: label of the task.
        optimizer: label.
        axis: the hyperparameter along which it is cut.
        others: where the cut lies: the other swept hyperparameters of the best configuration.
        best: value of the best configuration along the axis; None for an optimizer without that hyperparameter.
        values: along the axis, ascending; for an optimizer without it the ends of the others' axis, along which it is
            constant.
        mean: seed means; None where a seed has no result.
        low: lower ends of pointwise intervals; None where there is none.
        high: upper ends.
        level: nominal coverage of each.
        method: how they were made; None where the seeds allow none.
        drops: what is lost off the best value; none for an optimizer that has no such axis.
    """

    task: str
    optimizer: str
    axis: str
    others: Mapping[str, Scalar]
    best: float | None
    values: tuple[float, ...]
    mean: Numbers
    low: Numbers
    high: Numbers
    level: float | None
    method: str | None
    drops: tuple[Drop, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the slice as plain values that JSON can hold."""
        return asdict(self)


def slices(
    frame: pd.DataFrame, scorings: TaskScoring | Sequence[TaskScoring], grids: Sequence[GridInfo] | None = None
) -> tuple[Slice, ...]:
    """Return the slices of each optimizer on each task, through the configuration that validation picks.

    Along rho they are at the best learning rate, along the learning rate at the best rho. The bands are pointwise and
    take the choice of the cut as given; the seeds that chose it also measure it, by another split where the task has
    one. An optimizer on no full grid, or without a complete configuration, has none.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task; inferred from the frame where not given.

    Raises:
        TableError: where the runs allow no table, with what is wrong and where.
    """
    tasks = tasks_of(frame, scorings, grids)
    return tuple(one for task in tasks for one in slices_of(task))


def slices_of(task: TaskCells) -> list[Slice]:
    """Return the slices of one task, axis by axis."""
    able = [cells for cells in task.optimizers if cells.grid.design == "grid" and cells.best is not None]
    names = dict.fromkeys(name for cells in able for name in cells.grid.names if _is_swept(cells, name))
    weights = weights_for(len(task.seeds))
    return [
        _slice(task.scoring, cells, name, able, weights) for name in sorted(names, key=_rho_first) for cells in able
    ]


def _rho_first(name: str) -> tuple[bool, bool, str]:
    return name != "rho", name != "lr", name


def _is_swept(cells: Cells, name: str) -> bool:
    axis = cells.grid.axis(name)
    return axis is not None and axis.has_ends


def _slice(
    scoring: TaskScoring, cells: Cells, name: str, all_of_task: Sequence[Cells], weights: FloatArray | None
) -> Slice:
    best = int(cells.best or 0)
    others = {key: value for key, value in cells.grid.hyperparameters(best).items() if key != name}
    axis = cells.grid.axis(name)
    rows: IntArray = np.array([best])
    own: float | None = None
    if axis is not None:
        values, rows = axis.numbers, _line(cells.grid, name, best)
        own = float(cells.grid.hyperparameters(best)[name])
    elif name in cells.held:
        values = np.array([cells.held[name]])
    else:
        ends = [other.numbers for one in all_of_task if (other := one.grid.axis(name)) is not None]
        values = np.array([min(float(end[0]) for end in ends), max(float(end[-1]) for end in ends)])
        rows = np.array([best, best])
    complete = cells.complete[rows]
    mean, low, high = (np.full(len(rows), np.nan) for _ in range(3))
    by_seed = cells.test[rows[complete]].T
    mean[complete] = by_seed.mean(axis=0)
    band = band_of(by_seed, weights)
    if band is not None:
        low[complete], high[complete] = band.low, band.high
    if scoring.goal == "minimize":
        mean, low, high = -mean, -high, -low
    return Slice(
        task=scoring.task,
        optimizer=cells.grid.optimizer,
        axis=name,
        others=others,
        best=own,
        values=tuple(values.tolist()),
        mean=known(mean),
        low=known(low),
        high=known(high),
        level=None if band is None else band.level,
        method=None if band is None else band.method,
        drops=() if own is None or len(rows) < 2 else _drops(cells, rows, values, own, weights),
    )


def _line(grid: GridInfo, name: str, through: int) -> IntArray:
    """Return the numbers of the configurations that differ from one in a single hyperparameter, in its order."""
    numbers = np.arange(grid.n_configurations).reshape(grid.shape)
    places = np.unravel_index(through, grid.shape)
    cut = tuple(slice(None) if own == name else place for own, place in zip(grid.names, places, strict=True))
    return np.asarray(numbers[cut])


def _drops(
    cells: Cells, rows: IntArray, values: FloatArray, own: float, weights: FloatArray | None
) -> tuple[Drop, ...]:
    if not values[0] > 0:
        reason = f"{values[0]:g} has no place on a logarithmic scale"
        return tuple(Drop(factor, reason=reason) for factor in FACTORS)
    scores, where = cells.test[rows], np.log(values)
    best = scores[np.flatnonzero(values == own)[0]]
    return tuple(_drop(factor, math.log(own * factor), best, scores, where, weights) for factor in FACTORS)


def _drop(
    factor: float, place: float, best: FloatArray, scores: FloatArray, where: FloatArray, weights: FloatArray | None
) -> Drop:
    if not where[0] - SLACK <= place <= where[-1] + SLACK:
        return Drop(factor, reason="the grid does not reach so far")
    above = int(np.searchsorted(where, place - SLACK).clip(max=len(where) - 1))
    below = above if abs(where[above] - place) <= SLACK else above - 1
    share = 0.0 if below == above else (place - where[below]) / (where[above] - where[below])
    by_seed = best - (scores[below] * (1 - share) + scores[above] * share)
    if not np.isfinite(by_seed).all():
        return Drop(factor, reason="a run there has no result")
    value, unit = float(by_seed.mean()), float(np.abs(scores).max(where=np.isfinite(scores), initial=0.0)) or 1.0
    sample = Sample(by_seed / unit, None if weights is None else weights @ by_seed / unit, len(by_seed))
    interval = interval_of(value / unit, sample)
    if isinstance(interval, Interval):
        return Drop(factor, value, interval.low * unit, interval.high * unit, interval.level, interval.method)
    return Drop(factor, value, reason=interval.reason)


def known(values: FloatArray) -> Numbers:
    """Return an array as numbers, with None where there is none."""
    return tuple(value if math.isfinite(value) else None for value in values.tolist())
