"""What a difference map of one task shows, prepared once for every library that draws it: a panel a pair."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.errors import TableError
from benchmark.figures.axes import FigureAxis, chosen_names, figure_axis
from benchmark.robustness.cells import TaskCells
from benchmark.robustness.common import CommonGrid, common_grid, place
from benchmark.robustness.intervals import ROUNDING, band_of, weights_for
from benchmark.robustness.scoring import BoolArray, FloatArray
from benchmark.robustness.wins import on_common_grid

MAX_PANELS = 6
CHUNK = 2_000  # cells whose resamples are in memory at once


@dataclass(frozen=True, eq=False)
class DifferencePanel:
    """The scores of one optimizer less those of another; all arrays have the shape (y, x) of the common grid.

    Attributes:
        first: label of the optimizer from whose scores the other's are taken.
        second: label of the other.
        mean: of the paired differences over the seeds, in raw units; NaN where a seed of either has no result.
        low: lower end of its pointwise interval; NaN where there is none, as where the seeds do not differ.
        high: upper end.
    """

    first: str
    second: str
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def title(self) -> str:
        """The pair."""
        return f"{self.first} \N{MINUS SIGN} {self.second}"

    @property
    def above(self) -> BoolArray:
        """Which cells have an interval above zero."""
        return np.asarray(self.low > 0)

    @property
    def below(self) -> BoolArray:
        """Which cells have an interval below zero."""
        return np.asarray(self.high < 0)

    @property
    def no_result(self) -> BoolArray:
        """Which cells lack a result of either."""
        return np.isnan(self.mean)


@dataclass(frozen=True, eq=False)
class DifferenceMap:
    """All panels of one task on shared axes and a range of colours around zero.

    Attributes:
        task: label.
        metric_title: what is shown, with its split.
        goal: which way is better.
        x: usually rho.
        y: usually the learning rate.
        limit: the colours go from minus this to plus this; above 0.
        panels: at least one.
        note: how the marks were made, and what was left out.
    """

    task: str
    metric_title: str
    goal: str
    x: FigureAxis
    y: FigureAxis
    limit: float
    panels: tuple[DifferencePanel, ...]
    note: str

    @property
    def title(self) -> str:
        """Task and metric."""
        return f"{self.task}: difference in {self.metric_title}"

    @property
    def bar_title(self) -> str:
        """What stands beside the colours."""
        return f"difference ({'above' if self.goal == 'maximize' else 'below'} 0: the first is better)"


def prepare_difference(
    task: TaskCells, optimizers: Sequence[str] = (), pairs: Sequence[tuple[str, str]] = ()
) -> DifferenceMap:
    """Return what to draw of one task: for each pair of optimizers the paired difference in every cell.

    Along an axis that an optimizer does not have, its scores are repeated; over axes beyond the two that are drawn, the
    differences are averaged.

    Args:
        task: its runs; two optimizers at least must lie on a common grid.
        optimizers: labels in the order of the differences, first less second; by default the last of the task less
            those before it.
        pairs: labels of those that are compared, first less second; by default all pairs.

    Raises:
        TableError: where fewer than two optimizers share a grid, with the reason.
    """
    common = common_grid(task.optimizers)
    by_label = {cells.grid.optimizer: cells for cells in task.optimizers if place(cells, common).is_common}
    order = [label for label in optimizers or reversed(list(by_label)) if label in by_label]
    if common.design != "grid" or common.axes is None or len(order) < 2:
        reason = common.reason or f"only {', '.join(order) or 'none'} can be placed on it"
        if common.design != "grid":
            reason = f"a {common.design} design has no cells"
        raise TableError(
            f"a difference map needs two optimizers on a common grid, but {task.scoring.task} has none: {reason}."
        )
    given = [pair for pair in pairs if set(pair) <= set(order)]
    every = given or list(itertools.combinations(order, 2))
    shown = every if len(every) <= MAX_PANELS else _some(every, order[-1], are_given=bool(given))
    scores = {label: on_common_grid(by_label[label], common) for label in order}
    weights = weights_for(len(task.seeds))
    rounding = ROUNDING * max(float(np.abs(own).max(initial=0.0, where=np.isfinite(own))) for own in scores.values())
    axes = [axis.to_dict() for axis in common.axes]
    names = chosen_names([{"axes": axes}])
    methods: set[str] = set()
    panels = tuple(
        _panel(pair, task, _by_cell(scores[pair[0]] - scores[pair[1]], common, names), weights, rounding, methods)
        for pair in shown
    )
    known = np.concatenate([np.abs(panel.mean[~panel.no_result]) for panel in panels])
    notes = [_marks_note(len(task.seeds), methods)]
    if further := [axis.name for axis in common.axes if axis.name not in names]:
        notes.append(f"Averaged over {', '.join(further)}.")
    if elsewhere := [cells.grid.optimizer for cells in task.optimizers if cells.grid.optimizer not in by_label]:
        notes.append(f"Not on the common grid: {', '.join(elsewhere)}.")
    if len(shown) < len(every):
        notes.append(f"{len(shown)} of {len(every)} pairs; name optimizers to see others.")
    metric = task.scoring.metric
    return DifferenceMap(
        task=task.scoring.task,
        metric_title=f"test {metric}" if task.has_split else metric,
        goal=task.scoring.goal,
        x=figure_axis(axes, names[0]),
        y=figure_axis(axes, names[1]),
        limit=float(known.max(initial=0.0)) or 1.0,
        panels=panels,
        note=" ".join(notes),
    )


def _some(pairs: Sequence[tuple[str, str]], last: str, *, are_given: bool) -> Sequence[tuple[str, str]]:
    """Return as many pairs as there is room for: the first that were given, else those of the last optimizer."""
    return pairs[:MAX_PANELS] if are_given else [pair for pair in pairs if last in pair][-MAX_PANELS:]


def _by_cell(differences: FloatArray, common: CommonGrid, names: tuple[str | None, str | None]) -> FloatArray:
    """Return differences of shape (configurations, seeds) as (y, x, seeds), averaged over further axes."""
    axes = common.axes or ()
    shaped = differences.reshape(*(len(axis.values) for axis in axes), differences.shape[-1])
    own = [axis.name for axis in axes]
    further = tuple(number for number, name in enumerate(own) if name not in names)
    shaped = shaped.mean(axis=further) if further else shaped
    left = [name for name in own if name in names]
    x, y = names
    if x not in left:
        return shaped[..., np.newaxis, :] if y in left else shaped[np.newaxis, np.newaxis]
    if y not in left:
        return shaped[np.newaxis]
    return shaped if left.index(y) < left.index(x) else shaped.swapaxes(0, 1)


def _panel(
    pair: tuple[str, str],
    task: TaskCells,
    by_cell: FloatArray,
    weights: FloatArray | None,
    rounding: float,
    methods: set[str],
) -> DifferencePanel:
    raw = by_cell if task.scoring.goal == "maximize" else -by_cell
    shape, by_seed = raw.shape[:-1], raw.reshape(-1, raw.shape[-1]).T
    mean, low, high = (np.full(by_seed.shape[1], np.nan) for _ in range(3))
    complete = np.flatnonzero(np.isfinite(by_seed).all(axis=0) & (len(by_seed) > 0))
    for start in range(0, len(complete), CHUNK):
        some = complete[start : start + CHUNK]
        mean[some] = by_seed[:, some].mean(axis=0)
        band = band_of(by_seed[:, some], weights)
        if band is not None:
            low[some], high[some] = (np.where(np.abs(end) <= rounding, 0.0, end) for end in (band.low, band.high))
            methods.add(f"{band.level:.0%} {band.method}")
    return DifferencePanel(*pair, mean.reshape(shape), low.reshape(shape), high.reshape(shape))


def _marks_note(n_seeds: int, methods: set[str]) -> str:
    if not methods:
        return "No cell is marked: an interval needs two seeds."
    return (
        f"+ and \N{MINUS SIGN}: the interval of the difference, paired by seed, excludes 0 (each cell by itself, "
        f"{', '.join(sorted(methods))}, {n_seeds} seeds; where there is no difference, 5% of the cells are marked too)."
    )
