"""The common grid of a task: rows are ranked only where all optimizers were given the same values to try."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.canonical import round_significant
from benchmark.robustness.cells import Cells
from benchmark.robustness.scoring import AxisInfo

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CommonGrid:
    """The grid that most optimizers of a task share.

    Attributes:
        axes: its axes; None where no grid is shared by more optimizers than any other.
        reason: why there is none.
    """

    axes: tuple[AxisInfo, ...] | None
    reason: str | None = None


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

    An optimizer without a hyperparameter (gd has no rho) is constant along its axis and has no vote on it.
    """
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
    if common.axes is None:
        return Place(is_common=False, broadcast=(), repeats=1, reason=common.reason)
    lacking = [axis for axis in common.axes if _values(cells, axis.name) is None]
    other = [axis.name for axis in common.axes if _values(cells, axis.name) not in (None, _rounded(axis.values))]
    reason = f"other values of {', '.join(other)} than the common grid" if other else None
    repeats = math.prod(len(axis.values) for axis in lacking)
    return Place(not other, tuple(axis.name for axis in lacking), repeats, reason)


def _values(cells: Cells, name: str) -> Values | None:
    axis = cells.grid.axis(name)
    if axis is not None:
        return _rounded(axis.values)
    return _rounded((cells.held[name],)) if name in cells.held else None


def _rounded(values: Sequence[float]) -> Values:
    return tuple(round_significant(value) for value in values)
