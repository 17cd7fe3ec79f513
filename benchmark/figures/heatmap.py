"""What a heat map of one task shows, prepared once for every library that draws it: a panel an optimizer.

The cells of a grid fill their panel. The points of a random, Sobol or TPE search lie on no grid: theirs is a scatter,
on axes that all such panels share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import TableError
from benchmark.figures.axes import FigureAxis, chosen_names, figure_axis, sharing_limits
from benchmark.figures.planes import Surface, View, numbers_of, on_grid, places_of, shaped
from benchmark.robustness.levels import is_good
from benchmark.robustness.scoring import BoolArray, FloatArray, IntArray, TaskScoring

Segment = tuple[tuple[float, float], tuple[float, float]]
COUNTS = ("n_diverged", "n_collapsed", "n_missing")
NO_POINTS = "no points yet"  # what a panel says of an adaptive search that has not begun


@dataclass(frozen=True, eq=False)
class Panel:
    """The cells or points of one optimizer; all arrays have the shape (y, x) for a grid and (points,) for a design.

    Attributes:
        optimizer: label.
        x: usually rho.
        y: usually the learning rate.
        xs: value along x; 0 where the optimizer has none.
        ys: value along y, likewise.
        further: values of further axes by name: of a grid those of the best cell, at which the panel cuts through it;
            of a design those of each point, all of which are projected onto the panel.
        points: what the surface says of each, seed by seed.
        seeds: in the order of a point's.
        mean: seed means in raw units; NaN where no run has a result.
        n_diverged: number of seeds that diverged.
        n_collapsed: number of seeds that learned nothing.
        n_missing: number of seeds without a result.
        good: which are within the tolerance of the reference.
        best: which is the best; none where none has a result.
    """

    optimizer: str
    x: FigureAxis
    y: FigureAxis
    xs: FloatArray
    ys: FloatArray
    further: Mapping[str, FloatArray]
    points: NDArray[np.object_]
    seeds: tuple[int, ...]
    mean: FloatArray
    n_diverged: IntArray
    n_collapsed: IntArray
    n_missing: IntArray
    good: BoolArray
    best: BoolArray

    def point(self, place: tuple[int, ...]) -> Mapping[str, Any]:
        """Return what the surface says of one of them."""
        found: Mapping[str, Any] = self.points[place]
        return found

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    @property
    def is_grid(self) -> bool:
        """Whether there are cells to draw, and not points."""
        return self.mean.ndim == 2

    @property
    def title(self) -> str:
        """The label, with what became of further axes."""
        if self.is_grid:
            further = ", ".join(f"{name} {values.flat[0]:g}" for name, values in self.further.items())
        else:
            further = ", ".join(f"any {name}" for name in self.further)
        gap = " " if self.x.exists else "\n"  # a single column is narrow
        return f"{self.optimizer}{gap}({further})" if further else self.optimizer

    @property
    def dot_scale(self) -> float:
        """Size of the points of a design, and of their marks, as a share of that of few of them; 1 for a grid."""
        n, has_both = 1 if self.is_grid else max(self.mean.size, 1), self.x.exists and self.y.exists
        return max(min(1.0, 12 / n**0.5 if has_both else 20 / n), 0.3)

    @property
    def no_result(self) -> BoolArray:
        """Which have no result at all."""
        return np.isnan(self.mean)

    @property
    def some_missing(self) -> BoolArray:
        """Which have results of some seeds only: they are neither good nor the best yet."""
        return np.asarray((self.n_missing > 0) & ~self.no_result)

    @property
    def all_diverged(self) -> BoolArray:
        """Which have diverged runs and no others."""
        return np.asarray((self.n_diverged > 0) & (self.n_diverged == self.n_seeds - self.n_missing))

    @property
    def some_diverged(self) -> BoolArray:
        """Which have diverged runs and others."""
        return np.asarray((self.n_diverged > 0) & ~self.all_diverged)

    def outline(self) -> list[Segment]:
        """Return the line segments around the good cells of a grid, each from (x, y) to (x, y)."""
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
    plane = chosen_names(shown)
    oriented = [_of_all_seeds(surface, scoring) for surface in chosen]
    known = np.concatenate([scores[np.isfinite(scores)] for scores in oriented])
    best = float(known.max()) if len(known) else np.nan
    reference = best if y_ref is None else scoring.raw(y_ref)
    designs = [axis for surface in shown if surface["design"] != "grid" for axis in surface["axes"]]
    panels = tuple(
        _panel(surface, scores, reference, scoring, plane, designs)
        for surface, scores in zip(shown, oriented, strict=True)
    )
    low, high = _colour_range(panels, scoring)
    xs, ys = (sharing_limits([getattr(panel, side) for panel in panels]) for side in ("x", "y"))
    panels = tuple(replace(panel, x=x, y=y) for panel, x, y in zip(panels, xs, ys, strict=True))
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
        if other is None or places_of(other) != places_of(surface):
            raise TableError(
                f"the selection must have the same configurations, but that of {surface['optimizer']} has not."
            )
    return [surface for surface in chosen if surface is not None]


def _of_all_seeds(surface: Surface, scoring: TaskScoring) -> FloatArray:
    """Return the oriented means of the configurations that have a result of every seed; NaN for the others."""
    scores = scoring.orient(numbers_of(surface, "mean"))
    return np.where(numbers_of(surface, "n_missing") == 0, scores, np.nan)


def _panel(
    surface: Surface,
    selected: FloatArray,
    reference: float,
    scoring: TaskScoring,
    plane: tuple[str | None, str | None],
    designs: Sequence[Mapping[str, Any]],
) -> Panel:
    known = np.where(np.isfinite(selected), selected, -np.inf)
    best = np.zeros(known.shape, dtype=np.bool_)
    if np.isfinite(known).any():
        best.reshape(-1)[int(np.argmax(known))] = True
    good = np.zeros(known.shape, dtype=np.bool_)
    if reference > scoring.oriented_floor:
        good = is_good(known, reference, scoring.tolerance)
    axes, places = surface["axes"], places_of(surface)
    view = View(surface, plane, best)
    mean = view.of(numbers_of(surface, "mean"))
    along = {axis["name"]: view.of(shaped(surface, [place[axis["name"]] for place in places])) for axis in axes}
    xs, ys = (along.pop(name or "", np.zeros(mean.shape)) for name in plane)
    x, y = (figure_axis(axes, name, None if surface["design"] == "grid" else designs) for name in plane)
    counts = {name: view.of(numbers_of(surface, name)).astype(np.int64) for name in COUNTS}
    return Panel(
        optimizer=surface["optimizer"],
        x=x,
        y=y,
        xs=xs,
        ys=ys,
        further=along,
        mean=mean,
        points=view.of(on_grid(surface, np.array(surface["points"], dtype=np.object_))),
        seeds=tuple(surface["seeds"]),
        **counts,
        good=view.of(good),
        best=view.of(best),
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
