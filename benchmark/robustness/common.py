"""The common grid, or design, of a task: rows are ranked only where all optimizers were given the same to try."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.canonical import round_significant
from benchmark.robustness.cells import Cells
from benchmark.robustness.evaluate import ADAPTIVE
from benchmark.robustness.scoring import AxisInfo, Design, Points

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CommonGrid:
    """The grid, or the design, that most optimizers of a task share.

    Attributes:
        axes: its axes; None where no grid is shared by more optimizers than any other.
        reason: why there is none.
        design: how its configurations were chosen.
        points: those of a random or Sobol design.
    """

    axes: tuple[AxisInfo, ...] | None
    reason: str | None = None
    design: Design = "grid"
    points: Points = ()

    @property
    def n_configurations(self) -> int:
        """Number of configurations."""
        return math.prod(len(axis.values) for axis in self.axes or ()) if self.design == "grid" else len(self.points)


@dataclass(frozen=True, slots=True)
class Place:
    """How the grid of one optimizer lies in the common one.

    Attributes:
        is_common: whether its rows can be ranked with the others.
        broadcast: axes that the optimizer has no hyperparameter for; it is constant along them.
        repeats: how often each of its configurations stands on the common grid.
        reason: why it is not common.
    """

    is_common: bool
    broadcast: tuple[str, ...]
    repeats: int
    reason: str | None = None


def common_grid(optimizers: Sequence[Cells]) -> CommonGrid:
    """Return the grid whose values, axis by axis, most of the optimizers have that own the hyperparameter.

    An optimizer without a hyperparameter (gd has no rho) is constant along its axis and has no vote on it. Adaptive
    searches have nothing in common with anything.
    """
    optimizers = [cells for cells in optimizers if not cells.grid.is_adaptive]
    if not optimizers:
        return CommonGrid(None, ADAPTIVE)
    if any(cells.grid.design != "grid" for cells in optimizers):
        return _common_design(optimizers)
    names = dict.fromkeys(name for cells in optimizers for name in cells.grid.names)
    axes = []
    for name in names:
        votes = Counter(values for cells in optimizers if (values := _values(cells, name)) is not None)
        (winner, most), *others = votes.most_common(2)
        if others and others[0][1] == most:
            return CommonGrid(None, f"no values of {name} are shared by most optimizers")
        found = (cells.grid.axis(name) for cells in optimizers if _values(cells, name) == winner)
        axes.append(next((axis for axis in found if axis is not None), AxisInfo(name, "values", winner)))
    return CommonGrid(tuple(axes))


def place(cells: Cells, common: CommonGrid) -> Place:
    """Return how the grid of an optimizer lies in the common one."""
    if cells.grid.is_adaptive:
        return Place(is_common=False, broadcast=(), repeats=1, reason=ADAPTIVE)
    if common.axes is None:
        return Place(is_common=False, broadcast=(), repeats=1, reason=common.reason)
    if common.design != "grid":
        return _place_in_design(cells, common)
    lacking = [axis for axis in common.axes if _values(cells, axis.name) is None]
    other = [axis.name for axis in common.axes if _values(cells, axis.name) not in (None, _rounded(axis.values))]
    reason = f"other values of {', '.join(other)} than the common grid" if other else None
    repeats = math.prod(len(axis.values) for axis in lacking)
    return Place(not other, tuple(axis.name for axis in lacking), repeats, reason)


def _common_design(optimizers: Sequence[Cells]) -> CommonGrid:
    """Return the design of which most optimizers have the points, each along its own axes."""
    candidates = {(cells.grid.names, cells.grid.points): cells.grid for cells in optimizers if cells.grid.axes}
    commons = [CommonGrid(grid.axes, None, grid.design, grid.points) for grid in candidates.values()]
    votes = [sum(_place_in_design(cells, common).is_common for cells in optimizers) for common in commons]
    if votes.count(max(votes)) > 1:
        return CommonGrid(None, "no design is shared by most optimizers")
    return commons[votes.index(max(votes))]


def _place_in_design(cells: Cells, common: CommonGrid) -> Place:
    axes = common.axes or ()
    lacking = tuple(axis.name for axis in axes if axis.name not in cells.grid.names)
    held = [name for name in lacking if name in cells.held]
    columns = [column for column, axis in enumerate(axes) if axis.name in cells.grid.names]
    names = tuple(axes[column].name for column in columns)
    own_part = tuple(tuple(point[column] for column in columns) for point in common.points)
    if not cells.grid.axes and not held:
        return Place(is_common=True, broadcast=lacking, repeats=len(common.points))
    if held or names != cells.grid.names or (cells.grid.design, cells.grid.points) != (common.design, own_part):
        return Place(is_common=False, broadcast=(), repeats=1, reason="other configurations than the common design")
    return Place(is_common=True, broadcast=lacking, repeats=1)


def _values(cells: Cells, name: str) -> Values | None:
    axis = cells.grid.axis(name)
    if axis is not None:
        return _rounded(axis.values)
    return _rounded((cells.held[name],)) if name in cells.held else None


def _rounded(values: Sequence[float]) -> Values:
    return tuple(round_significant(value) for value in values)
