"""Axes of figures: where the cells of a grid or the points of a design lie, and which ticks to write."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from benchmark.robustness.scoring import FloatArray

MAX_VALUE_TICKS = 5
LOG_FROM = 10.0  # positive values that span this factor are drawn on a log axis whatever their spacing on a grid
MARGIN = 0.05  # of the range of a design
TITLES = {"rho": "\N{GREEK SMALL LETTER RHO}", "lr": "learning rate"}


@dataclass(frozen=True, eq=False)
class FigureAxis:
    """One axis of a heat map.

    Attributes:
        name: of the hyperparameter; None for a direction in which no optimizer has one.
        exists: whether this optimizer sweeps it; else there is a single row or column.
        values: of the cells, ascending; of a design, round numbers in its range.
        edges: of the cells, one more than values; halfway between neighbours on the axis's scale. Of a design, the two
            ends of the axis.
        is_log: whether the axis is logarithmic.
        limits: both ends of what is drawn, where panels share them; else those of the edges.
    """

    name: str | None
    exists: bool
    values: FloatArray
    edges: FloatArray
    is_log: bool
    limits: tuple[float, float] | None = None

    @property
    def span(self) -> tuple[float, float]:
        """Both ends of what is drawn."""
        return self.limits or (float(self.edges[0]), float(self.edges[-1]))

    @property
    def title(self) -> str:
        """What stands beside the axis."""
        if self.name is None:
            return ""
        title = TITLES.get(self.name, self.name)
        return title if self.exists else f"no {title}"

    def ticks(self) -> list[tuple[float, str]]:
        """Return positions and texts of the ticks: decades where there are enough of them, else some of the values."""
        if not self.exists:
            return []
        if self.is_log:
            low, high = (math.log10(end) for end in self.span)
            decades = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
            if len(decades) >= 2:
                step = math.ceil(len(decades) / MAX_VALUE_TICKS)
                return [(value, f"{value:g}") for value in decades[::step]]
        step = math.ceil(len(self.values) / MAX_VALUE_TICKS)
        return [(float(value), f"{value:.3g}") for value in self.values[::step]]


def figure_axis(
    axes: Sequence[Mapping[str, Any]], name: str | None, alike: Sequence[Mapping[str, Any]] | None = None
) -> FigureAxis:
    """Return the axis of that name as one to draw; one of a single cell where the surface has no such axis.

    Args:
        axes: of the surface: `{name, scale, values}`, the values ascending.
        name: of the hyperparameter; None for a direction in which no surface has one.
        alike: of a design, the axes of all designs in the figure, which share a range; None for a grid.
    """
    own = next((axis for axis in axes if axis["name"] == name), None)
    if own is None:
        return FigureAxis(name, False, np.zeros(1), np.array([-0.5, 0.5]), False)
    shared = [own] if alike is None else [axis for axis in alike if axis["name"] == name]
    values = np.unique(np.concatenate([np.asarray(axis["values"], dtype=np.float64) for axis in shared]))
    by_span = values[-1] >= LOG_FROM * values[0] and (alike is None or own["scale"] == "values")
    is_log = bool(values[0] > 0 and (own["scale"] == "log" or by_span))
    find_edges = _edges if alike is None else _ends
    edges = np.exp(find_edges(np.log(values))) if is_log else find_edges(values)
    return FigureAxis(name, True, values if alike is None else _round_values(values, is_log), edges, is_log)


def sharing_limits(axes: Sequence[FigureAxis]) -> list[FigureAxis]:
    """Return axes of one direction so that those of the same hyperparameter and scale have the same ends."""
    shared = []
    for axis in axes:
        spans = [
            other.span for other in axes if other.exists and (other.name, other.is_log) == (axis.name, axis.is_log)
        ]
        lows, highs = zip(*spans, strict=True) if axis.exists else ((), ())
        shared.append(replace(axis, limits=(min(lows), max(highs))) if axis.exists else axis)
    return shared


def chosen_names(surfaces: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Return the hyperparameters along x and y: rho and the learning rate where they are swept, else the first ones."""
    names = list(dict.fromkeys(axis["name"] for surface in surfaces for axis in surface["axes"]))
    y = "lr" if "lr" in names else next((name for name in names if name != "rho"), None)
    x = "rho" if "rho" in names else next((name for name in names if name != y), None)
    return x, y


def _edges(positions: FloatArray) -> FloatArray:
    if len(positions) == 1:
        return np.array([positions[0] - 0.5, positions[0] + 0.5])
    middle = (positions[1:] + positions[:-1]) / 2
    first, last = 2 * positions[0] - middle[0], 2 * positions[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _ends(positions: FloatArray) -> FloatArray:
    low, high = positions[0], positions[-1]
    margin = MARGIN * (high - low) or 0.5
    return np.array([low - margin, high + margin])


def _round_values(values: FloatArray, is_log: bool) -> FloatArray:
    locator = LogLocator(subs=(1.0, 2.0, 5.0)) if is_log else MaxNLocator(MAX_VALUE_TICKS - 1)
    found = np.asarray(locator.tick_values(values[0], values[-1]), dtype=np.float64)
    inside = found[(found >= values[0]) & (found <= values[-1])]
    return inside if len(inside) > 1 else np.unique(values[[0, -1]])
