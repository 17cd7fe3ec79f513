"""What a panel reads of a surface: values of its points, in the shape of its grid, and the plane that is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.robustness.scoring import BoolArray, FloatArray

Surface = Mapping[str, Any]
Item = TypeVar("Item", bound=np.generic)


def places_of(surface: Surface) -> list[dict[str, float]]:
    """Return the hyperparameters of each point."""
    return [point["hyperparameters"] for point in surface["points"]]


def numbers_of(surface: Surface, name: str) -> FloatArray:
    """Return what the surface says of each point under a name; NaN where it is not known."""
    return shaped(surface, [point[name] for point in surface["points"]])


def shaped(surface: Surface, values: Sequence[float | None]) -> FloatArray:
    """Return a value of each point, in the shape of the grid where the surface is one."""
    return on_grid(surface, np.array([np.nan if value is None else value for value in values], dtype=np.float64))


def on_grid(surface: Surface, values: NDArray[Item]) -> NDArray[Item]:
    """Return values, one a point, in the shape of the grid where the surface is one."""
    is_grid = surface["design"] == "grid"
    return values.reshape([len(axis["values"]) for axis in surface["axes"]]) if is_grid else values


@dataclass(frozen=True)
class View:
    """What a panel shows of a surface: all points of a design, or the plane of two axes through a grid's best cell.

    Attributes:
        surface: of one optimizer.
        plane: names along x and y.
        best: the cell of a grid that is cut through, in the shape of the grid.
    """

    surface: Surface
    plane: tuple[str | None, str | None]
    best: BoolArray

    def of(self, values: NDArray[Item]) -> NDArray[Item]:
        """Return the values that are shown: of a grid in the shape (y, x)."""
        if self.surface["design"] != "grid":
            return values
        names = [axis["name"] for axis in self.surface["axes"]]
        through = np.unravel_index(int(np.argmax(self.best)), self.best.shape)
        pairs = zip(names, through, strict=True)
        cut = np.asarray(values[tuple(slice(None) if name in self.plane else place for name, place in pairs)])
        x, y = self.plane
        if x not in names:
            return cut.reshape(-1, 1)
        if y not in names:
            return cut.reshape(1, -1)
        return cut if names.index(y) < names.index(x) else cut.T
