"""Trajectories on landscapes for papers: svg, png or pdf by matplotlib."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.matplotlib_image import INK, PAPER, Format, image_of
from benchmark.figures.matplotlib_text import legend_below, wrapped
from benchmark.figures.styles import style_of
from benchmark.figures.trajectories import Group, Trajectories

PANEL_INCHES, MARGIN_INCHES, MIN_INCHES = 2.4, 0.9, 3.8
N_TICKS = 5
MANY_RUNS = 20  # in a panel; from here on lines are thin
MAX_VECTOR_POINTS = 150_000  # a figure of more holds its lines as pixels
FAR = 1e4  # times the view; a line is cut there, for a run that diverges goes further than a picture can
GREYS, LINES = ("#ffffff", "#c4c4c4"), "#a8a8a8"
START: Any = {"marker": "o", "mfc": PAPER, "mec": INK, "mew": 0.6}
END: Any = {"marker": "s", "mfc": INK, "mec": PAPER, "mew": 0.4}
DIVERGED: Any = {"marker": "x", "mec": INK, "mew": 1.0}


def trajectories_matplotlib(shown: Trajectories, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return the trajectories on one landscape as an image; the same bytes for the same records.

    In two dimensions they lie on contours of the landscape, of equal area between one and the next; in one dimension on
    its curve. An open circle is a start, a filled mark an end, a cross the last point of a run that diverged.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch, of a png and of lines of very many points.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(shown: Trajectories) -> Figure:
    n_rows, n_columns = (max(getattr(panel, side) for panel in shown.panels) + 1 for side in ("row", "column"))
    size = (n_columns * PANEL_INCHES + MARGIN_INCHES, n_rows * PANEL_INCHES + MARGIN_INCHES)
    figure = Figure(figsize=(max(size[0], MIN_INCHES), max(size[1], MIN_INCHES)), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    leftmost = {panel.row: panel.column for panel in reversed(shown.panels)}
    for number, panel in enumerate(shown.panels):
        axes = grid[panel.row, panel.column]
        axes.set_visible(True)
        axes.set_title(wrapped(panel.title, PANEL_INCHES), fontsize=9, parse_math=False)
        (_contours if shown.is_plane else _curve)(axes, shown)
        for group in panel.groups:
            _ways(axes, shown, group, f"run-{number}-{group.style}", n_runs=panel.n_runs)
        for group in panel.groups:
            _ends(axes, shown, group, n_runs=panel.n_runs)
        axes.set_box_aspect(1)
        axes.locator_params(nbins=N_TICKS)
        axes.set_xlabel("theta_0")
        axes.tick_params(labelleft=panel.column == leftmost[panel.row])
        if panel.column == leftmost[panel.row]:
            axes.set_ylabel("theta_1" if shown.is_plane else "loss")
    figure.suptitle(shown.task, x=0.01, ha="left", fontsize=10, parse_math=False)
    _legend(figure, shown)
    return figure


def _contours(axes: Axes, shown: Trajectories) -> None:
    x, y, heights = shown.ground()
    levels = shown.levels(heights)
    greys = LinearSegmentedColormap.from_list("greys", GREYS)
    axes.contourf(x, y, heights, levels, colors=greys(np.linspace(0, 1, len(levels) - 1)))
    axes.contour(x, y, heights, levels[1:-1], colors=LINES, linewidths=0.3)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])


def _curve(axes: Axes, shown: Trajectories) -> None:
    x, heights = shown.profile()
    axes.plot(x, heights, color=LINES, lw=1.2, zorder=1)
    margin = 0.05 * float(np.ptp(heights))
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(heights.min() - margin, heights.max() + margin)


def _ways(axes: Axes, shown: Trajectories, group: Group, name: str, *, n_runs: int) -> None:
    """Draw a line a run; in an svg it has an id, of panel, style and seed."""
    n_points = sum(len(run.points) for run in shown.runs)
    for run in group.runs:
        x, y = shown.places(run.points, reach=FAR)
        look = _line(shown, group, n_runs=n_runs)
        axes.plot(x, y, **look, zorder=2, gid=f"{name}-{run.seed}", rasterized=n_points > MAX_VECTOR_POINTS)


def _ends(axes: Axes, shown: Trajectories, group: Group, *, n_runs: int) -> None:
    """Mark starts and ends; a run that diverged is marked where it left the view."""
    starts = [run.points[0] for run in group.runs]
    ends = [run.points[-1] for run in group.runs if not run.has_diverged]
    lost = [run.points[-1] for run in group.runs if run.has_diverged]
    marks = ((starts, START, 4), (ends, _end(group), 3), (lost, DIVERGED, 5))
    for points, look, order in marks:
        if points:
            x, y = shown.places(np.array(points))
            size = 2.2 if n_runs > MANY_RUNS else 5.5
            axes.plot(x, y, ls="", ms=size, zorder=order, clip_on=False, **look)


def _line(shown: Trajectories, group: Group, *, n_runs: int) -> dict[str, Any]:
    style = style_of(group.style)
    if not shown.is_plane:
        return {"color": style.colour, "lw": 0.6, "ls": style.line, "marker": style.marker, "ms": 3.0}
    if n_runs > MANY_RUNS:
        return {"color": style.colour, "lw": 0.5, "ls": "-"}
    return {"color": style.colour, "lw": 1.2, "ls": style.line}


def _end(group: Group) -> dict[str, Any]:
    """Return the mark of an end: of the group's own where several share a panel, black where it is alone."""
    style = style_of(group.style)
    return {"marker": style.marker, "mfc": style.colour, "mec": PAPER, "mew": 0.6} if group.title else END


def _legend(figure: Figure, shown: Trajectories) -> None:
    handles = {"start": Line2D([], [], ls="", ms=5.0, **START)}
    for group in [group for panel in shown.panels for group in panel.groups]:
        look = {**_line(shown, group, n_runs=1), **_end(group), "ms": 5.0}
        handles.setdefault(
            group.title or "end", Line2D([], [], **(look if group.title else {**END, "ls": "", "ms": 4.0}))
        )
    if any(run.has_diverged for run in shown.runs):
        handles["diverged"] = Line2D([], [], ls="", ms=5.0, **DIVERGED)
    legend_below(figure, handles)
