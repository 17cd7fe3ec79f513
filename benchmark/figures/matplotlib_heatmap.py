"""Heat maps for papers: svg, png or pdf by matplotlib."""

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from benchmark.figures.axes import FigureAxis
from benchmark.figures.heatmap import NO_POINTS, Heatmap, Panel
from benchmark.figures.matplotlib_image import INK, PAPER, Format, image_of
from benchmark.figures.matplotlib_text import legend_below, wrapped
from benchmark.robustness.scoring import BoolArray

PANEL_INCHES, STRIP_INCHES, MARGIN_INCHES, HEIGHT_INCHES = 2.6, 0.75, 2.0, 3.4
MAX_VECTOR_CELLS = 2_500  # a figure of more cells holds them as pixels: a viewer would choke on the shapes
DOT_POINTS = 9  # across a point of a design, where there are few
FAINT = "#8a8a8a"


def heatmap_matplotlib(shown: Heatmap, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return the heat map of one task as an image; the same bytes for the same heat map.

    One row of panels, an optimizer each, on shared colours (bright is better): the cells of a grid, or the points of a
    random, Sobol or TPE search. Those within the tolerance of the reference are outlined, the best one bears a star,
    diverged ones are hatched.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch, of a png and of the cells of a large grid or design.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(heatmap: Heatmap) -> Figure:
    inches = [_inches(panel) for panel in heatmap.panels]
    figure = Figure(figsize=(max(sum(inches) + MARGIN_INCHES, 5.0), HEIGHT_INCHES), layout="constrained")
    grid = figure.subplots(1, len(inches), squeeze=False, gridspec_kw={"width_ratios": inches})
    handles: dict[str, Any] = {}
    mapped: Any = None
    for column, (axes, panel) in enumerate(zip(grid[0], heatmap.panels, strict=True)):
        mapped = _panel(axes, panel, heatmap, handles)
        first = column == 0 or panel.y.name != heatmap.panels[column - 1].y.name
        draw_axis(axes, panel.y, "y", with_labels=first or panel.y.span != heatmap.panels[0].y.span)
        draw_axis(axes, panel.x, "x", with_labels=True)
    figure.suptitle(heatmap.title, x=0.01, ha="left", fontsize=10, parse_math=False)
    bar = figure.colorbar(mapped, ax=list(grid[0]), pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.set_label(
        f"{heatmap.metric_title} ({'higher' if heatmap.goal == 'maximize' else 'lower'} is better)", parse_math=False
    )
    if heatmap.goal == "minimize":
        bar.ax.invert_yaxis()
    legend_below(figure, handles)
    return figure


def _inches(panel: Panel) -> float:
    return PANEL_INCHES if panel.x.exists else STRIP_INCHES


def _panel(axes: Axes, panel: Panel, heatmap: Heatmap, handles: dict[str, Any]) -> Any:
    axes.set_title(wrapped(panel.title, _inches(panel)), fontsize=9, parse_math=False)
    axes.set_facecolor(PAPER)
    if not panel.mean.size:
        axes.text(0.5, 0.5, NO_POINTS.replace(" ", "\n"), transform=axes.transAxes, ha="center", va="center")
    mapped = _colours(axes, panel, heatmap)
    for name, mask, hatch in (
        ("diverged", panel.all_diverged, "xxxx"),
        ("some seeds diverged", panel.some_diverged, "////"),
        ("some seeds missing", panel.some_missing, "\\\\\\\\"),
        ("no result", panel.no_result, "..."),
    ):
        if mask.any():
            # Dots on white for what has no result: any plain grey is one of the colours when printed in grey.
            colour, ground = (FAINT, PAPER) if name == "no result" else (PAPER, FAINT)
            style: dict[str, Any] = {"edgecolor": colour, "hatch": hatch, "linewidth": 0}
            if panel.is_grid:
                axes.add_patch(PathPatch(area_of(mask, panel.x, panel.y), facecolor="none", **style))
            else:
                axes.scatter(panel.xs[mask], panel.ys[mask], _area_of_dot(panel), facecolor="none", **style)
            handles[name] = Patch(facecolor=ground, **style)
    if (panel.n_collapsed > 0).any():
        mask = panel.n_collapsed > 0
        ring: dict[str, Any] = {"mew": 0.9 * panel.dot_scale, "ms": 4 * panel.dot_scale}
        axes.plot(panel.xs[mask], panel.ys[mask], "o", mfc="none", mec=PAPER, **ring)
        handles["collapsed seeds"] = Line2D([], [], marker="o", mfc="none", mec=INK, ls="", ms=4)
    if panel.good.any():
        for colour, width in ((PAPER, 3.4), (INK, 1.6)):
            _outline(axes, panel, colour, width)
        handles[f"within {heatmap.tolerance:g} of the reference"] = Line2D([], [], color=INK, lw=1.6)
    if panel.best.any():
        star: dict[str, Any] = {"marker": "*", "ms": 10, "mfc": PAPER, "mec": INK, "mew": 0.9, "ls": ""}
        axes.plot(panel.xs[panel.best], panel.ys[panel.best], **star)
        handles["best"] = Line2D([], [], **star)
    return mapped


def _colours(axes: Axes, panel: Panel, heatmap: Heatmap) -> Any:
    style: dict[str, Any] = {
        "cmap": "cividis" if heatmap.goal == "maximize" else "cividis_r",
        "vmin": heatmap.low,
        "vmax": heatmap.high,
        "rasterized": panel.mean.size > MAX_VECTOR_CELLS,
    }
    if panel.is_grid:
        return axes.pcolormesh(panel.x.edges, panel.y.edges, np.ma.masked_invalid(panel.mean), linewidth=0, **style)
    known = ~panel.no_result
    x, y, area = panel.xs[known], panel.ys[known], _area_of_dot(panel)
    return axes.scatter(x, y, area, panel.mean[known], edgecolor=PAPER, linewidth=0.4, **style)


def _outline(axes: Axes, panel: Panel, colour: str, width: float) -> None:
    if panel.is_grid:
        lines = LineCollection(panel.outline(), colors=colour, linewidths=width, capstyle="projecting", clip_on=False)
        axes.add_collection(lines)
    else:
        x, y = panel.xs[panel.good], panel.ys[panel.good]
        width *= panel.dot_scale
        axes.scatter(x, y, _area_of_dot(panel), facecolor="none", edgecolor=colour, linewidth=width)


def _area_of_dot(panel: Panel) -> float:
    return float((DOT_POINTS * panel.dot_scale) ** 2)


def area_of(mask: BoolArray, x: FigureAxis, y: FigureAxis) -> Path:
    """Return the marked cells as one path, a rectangle for each run of them in a row: one path is hatched once."""
    padded = np.pad(mask, ((0, 0), (1, 1)))
    rows, starts = np.nonzero(padded[:, 1:] & ~padded[:, :-1])
    _, ends = np.nonzero(padded[:, :-1] & ~padded[:, 1:])
    left, right, low, high = x.edges[starts], x.edges[ends], y.edges[rows], y.edges[rows + 1]
    corners = np.array([[left, low], [right, low], [right, high], [left, high], [left, low]])
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(rows))
    return Path(corners.transpose(2, 0, 1).reshape(-1, 2), codes)


def draw_axis(axes: Axes, axis: FigureAxis, which: Literal["x", "y"], *, with_labels: bool) -> None:
    """Give one side of a panel of cells its scale, limits, ticks and title."""
    drawn = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    set_scale("log" if axis.is_log else "linear")
    set_limits(*axis.span)
    ticks = axis.ticks()
    drawn.set_minor_locator(NullLocator())
    drawn.set_major_locator(FixedLocator([value for value, _ in ticks]))
    drawn.set_major_formatter(FixedFormatter([text if with_labels else "" for _, text in ticks]))
    if with_labels:
        drawn.set_label_text(axis.title, parse_math=False)
