"""What a heat map of one task shows, prepared once for every library that draws it: a panel an optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.errors import TableError
from benchmark.figures.axes import FigureAxis, chosen_names, figure_axis
from benchmark.robustness.levels import is_good
from benchmark.robustness.scoring import BoolArray, FloatArray, IntArray, TaskScoring

Surface = Mapping[str, Any]
COUNTS = ("n_diverged", "n_collapsed", "n_missing")


@dataclass(frozen=True, eq=False)
class Panel:
    """The cells of one optimizer; all arrays have the shape (y, x).

    Attributes:
        optimizer: label.
        x: usually rho.
        y: usually the learning rate.
        mean: seed means in raw units; NaN where no run has a result.
        n_diverged: number of seeds that diverged.
        n_collapsed: number of seeds that learned nothing.
        n_missing: number of seeds without a result.
        n_seeds: number of seeds.
        good: which cells are within the tolerance of the reference.
        best: place (y, x) of the best cell; None where no cell has a result.
        held: hyperparameters of further axes at which the panel cuts through the grid: those of the best cell.
    """

    optimizer: str
    x: FigureAxis
    y: FigureAxis
    mean: FloatArray
    n_diverged: IntArray
    n_collapsed: IntArray
    n_missing: IntArray
    n_seeds: int
    good: BoolArray
    best: tuple[int, int] | None
    held: Mapping[str, float]

    @property
    def title(self) -> str:
        """The label, with what the panel holds fixed."""
        held = ", ".join(f"{name} {value:g}" for name, value in self.held.items())
        return f"{self.optimizer} ({held})" if held else self.optimizer

    @property
    def no_result(self) -> BoolArray:
        """Which cells have no result at all."""
        return np.isnan(self.mean)

    @property
    def all_diverged(self) -> BoolArray:
        """Which cells have diverged runs and no others."""
        return np.asarray((self.n_diverged > 0) & (self.n_diverged == self.n_seeds - self.n_missing))

    @property
    def some_diverged(self) -> BoolArray:
        """Which cells have diverged runs and others."""
        return np.asarray((self.n_diverged > 0) & ~self.all_diverged)

    def outline(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Return the line segments around the good cells, each from (x, y) to (x, y)."""
        padded = np.pad(self.good, 1)
        rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
        level = [
            ((self.x.edges[c], self.y.edges[r]), (self.x.edges[c + 1], self.y.edges[r]))
            for r, c in zip(rows, columns, strict=True)
        ]
        rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
        upright = [
            ((self.x.edges[c], self.y.edges[r]), (self.x.edges[c], self.y.edges[r + 1]))
            for r, c in zip(rows, columns, strict=True)
        ]
        return level + upright


@dataclass(frozen=True, eq=False)
class Heatmap:
    """All panels of one task on a shared range of colours.

    Attributes:
        task: label.
        metric: what is shown.
        goal: which way is better.
        split: of the scores; None for a task without split.
        low: score of the darkest or brightest colour.
        high: score at the other end.
        tolerance: in raw units.
        y_ref: reference in raw units; None where no cell has a result.
        panels: one an optimizer.
    """

    task: str
    metric: str
    goal: str
    split: str | None
    low: float
    high: float
    tolerance: float
    y_ref: float | None
    panels: tuple[Panel, ...]

    @property
    def title(self) -> str:
        """Task and metric."""
        return f"{self.task}: {self.metric_title}"

    @property
    def metric_title(self) -> str:
        """The metric as it stands beside the colours."""
        return self.metric if self.split is None else f"{self.split} {self.metric}"


def prepare_heatmap(
    surfaces: Sequence[Surface],
    scoring: TaskScoring,
    *,
    selection: Sequence[Surface] | None = None,
    y_ref: float | None = None,
) -> Heatmap:
    """Return what to draw for one task.

    Args:
        surfaces: what is shown; those of other tasks are left out.
        scoring: how the task is scored.
        selection: surfaces of the validation scores, by which best cell and good cells are chosen as they are in the
            table; by default those that are shown.
        y_ref: reference in raw units; by default the best mean of the selection.

    Raises:
        TableError: where no surface is of the task, or the selection does not match.
    """
    shown = [surface for surface in surfaces if surface["task"] == scoring.task]
    if not shown:
        raise TableError(f"a heat map needs a surface, but there is none of {scoring.task}.")
    chosen = _matching(shown, selection if selection is not None else shown)
    x, y = chosen_names(shown)
    oriented = [scoring.orient(_grid(surface, "mean")) for surface in chosen]
    known = np.concatenate([scores[np.isfinite(scores)] for scores in oriented])
    best = float(known.max()) if len(known) else np.nan
    reference = best if y_ref is None else scoring.raw(y_ref)
    panels = tuple(
        _panel(surface, scores, reference, scoring, x, y) for surface, scores in zip(shown, oriented, strict=True)
    )
    low, high = _colour_range(panels, scoring)
    return Heatmap(
        task=scoring.task,
        metric=scoring.metric,
        goal=scoring.goal,
        split=shown[0]["split"],
        low=low,
        high=high,
        tolerance=scoring.tolerance,
        y_ref=scoring.raw(reference) if np.isfinite(reference) else None,
        panels=panels,
    )


def _matching(shown: Sequence[Surface], selection: Sequence[Surface]) -> list[Surface]:
    by_label = {(surface["task"], surface["optimizer"]): surface for surface in selection}
    chosen = [by_label.get((surface["task"], surface["optimizer"])) for surface in shown]
    for surface, other in zip(shown, chosen, strict=True):
        if other is None or other["axes"] != surface["axes"]:
            raise TableError(f"the selection must have the same grid, but that of {surface['optimizer']} has not.")
    return [surface for surface in chosen if surface is not None]


def _grid(surface: Surface, name: str) -> FloatArray:
    shape = tuple(len(axis["values"]) for axis in surface["axes"])
    values = [np.nan if point[name] is None else point[name] for point in surface["points"]]
    return np.array(values, dtype=np.float64).reshape(shape)


@dataclass(frozen=True)
class _Plane:
    """The plane of two axes in which a panel cuts through the grid of a surface."""

    surface: Surface
    x: str | None
    y: str | None
    through: Mapping[str, int]

    @property
    def names(self) -> list[str]:
        return [axis["name"] for axis in self.surface["axes"]]

    def of(self, values: FloatArray) -> FloatArray:
        """Return the values of the grid that lie in the plane, shape (y, x)."""
        cut = tuple(slice(None) if name in (self.x, self.y) else self.through[name] for name in self.names)
        plane: FloatArray = np.asarray(values[cut])
        if self.x not in self.names:
            return plane.reshape(-1, 1)
        if self.y not in self.names:
            return plane.reshape(1, -1)
        return plane if self.names.index(self.y) < self.names.index(self.x) else plane.T


def _panel(
    surface: Surface, selected: FloatArray, reference: float, scoring: TaskScoring, x: str | None, y: str | None
) -> Panel:
    axes = surface["axes"]
    known = np.where(np.isfinite(selected), selected, -np.inf)
    best = np.unravel_index(int(np.argmax(known)), selected.shape)
    through = {axis["name"]: int(place) for axis, place in zip(axes, best, strict=True)}
    plane = _Plane(surface, x, y, through)
    good = np.zeros_like(known, dtype=np.bool_)
    if reference > scoring.oriented_floor:
        good = is_good(known, reference, scoring.tolerance)
    counts = {name: plane.of(_grid(surface, name)).astype(np.int64) for name in COUNTS}
    return Panel(
        optimizer=surface["optimizer"],
        x=figure_axis(axes, x),
        y=figure_axis(axes, y),
        mean=plane.of(_grid(surface, "mean")),
        **counts,
        n_seeds=len(surface["seeds"]),
        good=plane.of(good.astype(np.float64)) > 0,
        best=(through.get(y or "", 0), through.get(x or "", 0)) if np.isfinite(known).any() else None,
        held={axis["name"]: axis["values"][through[axis["name"]]] for axis in axes if axis["name"] not in (x, y)},
    )


def _colour_range(panels: Sequence[Panel], scoring: TaskScoring) -> tuple[float, float]:
    means = np.concatenate([panel.mean[np.isfinite(panel.mean)] for panel in panels])
    if not len(means):
        return scoring.floor, scoring.floor + 1.0
    low, high = float(means.min()), float(means.max())
    # Scores worse than the floor would take colours away from those that differ in what was learned.
    if scoring.goal == "maximize":
        low = max(low, min(scoring.floor, high))
    else:
        high = min(high, max(scoring.floor, low))
    margin = 0.0 if high > low else 0.5 * (abs(low) or 1.0)
    return low - margin, high + margin
