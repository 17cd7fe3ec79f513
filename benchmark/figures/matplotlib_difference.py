"""Difference maps for papers: svg, png or pdf by matplotlib."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch

from benchmark.figures.difference import DifferenceMap, DifferencePanel
from benchmark.figures.matplotlib_heatmap import FAINT, MAX_VECTOR_CELLS, PANEL_INCHES, area_of, draw_axis
from benchmark.figures.matplotlib_image import INK, PAPER, Format, image_of
from benchmark.figures.matplotlib_text import legend_below, wrapped

MARGIN_INCHES, HEIGHT_INCHES, MIN_INCHES = 2.0, 3.6, 5.0
MARK_POINTS = 6.0  # across a mark where there are few cells
MARKS = {"first above second": ("above", "+"), "first below second": ("below", "_")}


def difference_matplotlib(shown: DifferenceMap, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return the difference map of one task as an image; the same bytes for the same map.

    One row of panels, a pair of optimizers each, on shared axes and colours around a white zero. A plus or minus marks
    the cells whose paired interval excludes zero, so that the sign is seen in grey too; dots those without a result.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch, of a png and of the cells of a large grid.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(shown: DifferenceMap) -> Figure:
    width = max(PANEL_INCHES * len(shown.panels) + MARGIN_INCHES, MIN_INCHES)
    figure = Figure(figsize=(width, HEIGHT_INCHES), layout="constrained")
    grid = figure.subplots(1, len(shown.panels), squeeze=False)
    handles: dict[str, Any] = {}
    mapped: Any = None
    for column, (axes, panel) in enumerate(zip(grid[0], shown.panels, strict=True)):
        mapped = _panel(axes, panel, shown, handles)
        draw_axis(axes, shown.y, "y", with_labels=column == 0)
        draw_axis(axes, shown.x, "x", with_labels=True)
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=10, parse_math=False)
    bar = figure.colorbar(mapped, ax=list(grid[0]), pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.set_label(shown.bar_title, fontsize=8, parse_math=False)
    legend_below(figure, handles, shown.note)
    return figure


def _panel(axes: Axes, panel: DifferencePanel, shown: DifferenceMap, handles: dict[str, Any]) -> Any:
    axes.set_title(wrapped(panel.title, PANEL_INCHES), fontsize=9, parse_math=False)
    axes.set_facecolor(PAPER)
    is_large = panel.mean.size > MAX_VECTOR_CELLS
    mapped = axes.pcolormesh(
        shown.x.edges,
        shown.y.edges,
        np.ma.masked_invalid(panel.mean),
        cmap="PuOr",
        vmin=-shown.limit,
        vmax=shown.limit,
        linewidth=0,
        rasterized=is_large,
    )
    if panel.no_result.any():
        style: dict[str, Any] = {"edgecolor": FAINT, "hatch": "...", "linewidth": 0}
        axes.add_patch(PathPatch(area_of(panel.no_result, shown.x, shown.y), facecolor="none", **style))
        handles["no result"] = Patch(facecolor=PAPER, **style)
    size = MARK_POINTS * min(1.0, 12 / panel.mean.size**0.5)
    for name, (which, marker) in MARKS.items():
        mask = getattr(panel, which)
        if mask.any():
            rows, columns = np.nonzero(mask)
            for colour, width in ((PAPER, 3.0), (INK, 1.2)):  # seen on the darkest colours too
                look: dict[str, Any] = {"marker": marker, "mec": colour, "ls": ""}
                mark: dict[str, Any] = {"ms": size, "mew": width * size / MARK_POINTS, "rasterized": is_large}
                axes.plot(shown.x.values[columns], shown.y.values[rows], **look, **mark)
            handles[name] = Line2D([], [], marker=marker, mec=INK, ls="", ms=MARK_POINTS, mew=1.2)
    return mapped
