"""What a figure of lines shows, prepared once for every library that draws it: panels of lines with bands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.robustness.cells import TaskCells
from benchmark.robustness.common import common_grid, place
from benchmark.robustness.intervals import MIN_SEEDS
from benchmark.robustness.scoring import FloatArray


def bands_note(made: Iterable[tuple[float, str] | None], n_seeds_needed: int = MIN_SEEDS) -> str:
    """Return what a figure says of its bands: level and method of each that there is, else how many seeds would do."""
    methods = sorted({f"{one[0]:.0%} {one[1]}" for one in made if one is not None})
    return f"Bands: pointwise, {', '.join(methods)}." if methods else f"No bands: they need {n_seeds_needed} seeds."


def rows_note(tasks: Sequence[TaskCells]) -> str:
    """Return which lines rest on a part of their grid, and which are of another grid than the lines beside them."""
    partial, elsewhere = [], []
    for task in tasks:
        common = common_grid(task.optimizers)
        for cells in task.optimizers:
            label = cells.grid.optimizer + (f" on {cells.grid.task}" if len(tasks) > 1 else "")
            n, n_complete = len(cells.complete), int(cells.complete.sum())
            if n_complete < n:
                partial.append(f"{label} {n_complete} of {n} configurations")
            if not (cells.grid.is_adaptive or place(cells, common).is_common):
                elsewhere.append(label)
    notes = [f"Incomplete, and of what is complete: {', '.join(partial)}."] if partial else []
    notes += [f"On another grid, not to be ranked with the others: {', '.join(elsewhere)}."] if elsewhere else []
    return " ".join(notes)


@dataclass(frozen=True, eq=False)
class Line:
    """One line, usually of an optimizer; all arrays have the same length.

    Attributes:
        label: what the legend says.
        style: number of its look, the same for an optimizer in every panel.
        x: ascending.
        y: NaN where there is a gap.
        low: lower end of the band; None without one, NaN where there is none.
        high: upper end.
        has_points: whether its points are marked: they are cells, and not samples of a function.
    """

    label: str
    style: int
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    has_points: bool = True

    @property
    def has_band(self) -> bool:
        """Whether there is a band to draw."""
        return self.low is not None and bool(np.isfinite(self.low).any())


@dataclass(frozen=True, eq=False)
class LinePanel:
    """Lines on common axes.

    Attributes:
        title: what stands above.
        x_title: what stands beside the axis.
        y_title: likewise.
        lines: in the order of the legend.
        is_log: whether x is logarithmic.
    """

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    is_log: bool = False


@dataclass(frozen=True, eq=False)
class LineFigure:
    """Panels side by side.

    Attributes:
        title: of the whole.
        panels: at least one; those with the same title of y share its range.
        note: what the bands are, and what a reader must know; stands below.
    """

    title: str
    panels: tuple[LinePanel, ...]
    note: str = ""

    def y_range(self, panel: LinePanel) -> tuple[float, float]:
        """Return the range of y of a panel: of all values of the panels that share it, with a margin."""
        alike = [other for other in self.panels if other.y_title == panel.y_title]
        values = [
            part[np.isfinite(part)]
            for other in alike
            for line in other.lines
            for part in (line.y, line.low, line.high)
            if part is not None
        ]
        every = np.concatenate(values)
        if not len(every):
            return 0.0, 1.0
        low, high = float(every.min()), float(every.max())
        margin = 0.05 * (high - low) or 0.5
        return low - margin, high + margin
