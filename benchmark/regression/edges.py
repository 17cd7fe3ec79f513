"""Where an optimizer begins to diverge, and where its best configuration lies, seed by seed."""

import numpy as np

from benchmark.robustness.cells import Cells
from benchmark.robustness.scoring import BoolArray, FloatArray, GridInfo

LR = "lr"


def divergence_edge(cells: Cells) -> FloatArray | None:
    """Return the decades of the learning rate up to which nothing diverged, a mean over all lines of it, by seed.

    A line is one setting of all other axes. Its edge is the geometric midpoint between the largest learning rate up to
    which every run is finite and the next one; at the ends of the axis, half a step beyond them.

    Args:
        cells: of one optimizer on one task.

    Returns:
        Shape (seeds,), log10 of the learning rate; None where there is no grid along it, or a run is missing.
    """
    points = _decades(cells.grid, LR)
    if points is None or not cells.is_result.all():
        return None
    finite = ~_along(cells.diverged, cells.grid, LR)  # (learning rates, lines, seeds)
    n_before = np.logical_and.accumulate(finite, axis=0).sum(axis=0)
    middles = (points[1:] + points[:-1]) / 2
    first, last = points[1] - points[0], points[-1] - points[-2]
    edges = np.concatenate([[points[0] - first / 2], middles, [points[-1] + last / 2]])
    return np.asarray(edges[n_before].mean(axis=0))


def place_of_best(cells: Cells, axis: str) -> FloatArray | None:
    """Return log10 of a hyperparameter where the best configuration of each seed by validation lies, by seed.

    Args:
        cells: of one optimizer on one task.
        axis: name of the hyperparameter.

    Returns:
        Shape (seeds,); None where it is not swept over positive values, or a run is missing.
    """
    points = _decades(cells.grid, axis)
    if points is None or not cells.is_result.all():
        return None
    places = np.unravel_index(cells.validation.argmax(axis=0), cells.grid.shape)
    return np.asarray(points[places[cells.grid.names.index(axis)]])


def step_decades(grid: GridInfo, axis: str) -> float | None:
    """Return the mean step of an axis in decades; None where it has no place on a logarithmic scale."""
    points = _decades(grid, axis)
    return None if points is None else float((points[-1] - points[0]) / (len(points) - 1))


def _decades(grid: GridInfo, name: str) -> FloatArray | None:
    axis = grid.axis(name)
    if grid.design != "grid" or axis is None or len(axis.values) < 2 or not axis.numbers[0] > 0:
        return None
    return np.asarray(np.log10(axis.numbers))


def _along(values: BoolArray, grid: GridInfo, axis: str) -> BoolArray:
    """Return values of all cells as (points of the axis, lines, seeds)."""
    shaped = values.reshape(*grid.shape, -1)
    moved = np.moveaxis(shaped, grid.names.index(axis), 0)
    return np.asarray(moved.reshape(len(moved), -1, values.shape[-1]))
