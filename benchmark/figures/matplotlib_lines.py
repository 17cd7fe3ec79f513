"""Figures of lines for papers: svg, png or pdf by matplotlib."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmark.figures.lines import Line, LineFigure, LinePanel
from benchmark.figures.matplotlib_image import Format, image_of
from benchmark.figures.matplotlib_text import legend_below, wrapped
from benchmark.figures.styles import style_of

PANEL_INCHES, HEIGHT_INCHES, MIN_INCHES = 3.2, 3.3, 4.2
MAX_MARKED_POINTS = 60  # a line of more bears no markers
BAND_ALPHA = 0.15


def lines_matplotlib(shown: LineFigure, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return a figure of lines as an image; the same bytes for the same figure.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch of a png.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(shown: LineFigure) -> Figure:
    width = max(PANEL_INCHES * len(shown.panels), MIN_INCHES)
    figure = Figure(figsize=(width, HEIGHT_INCHES), layout="constrained")
    grid = figure.subplots(1, len(shown.panels), squeeze=False)
    handles: dict[str, Any] = {}
    for place, (axes, panel) in enumerate(zip(grid[0], shown.panels, strict=True)):
        _panel(axes, panel, handles)
        axes.set_ylim(shown.y_range(panel))
        if place and panel.y_title == shown.panels[place - 1].y_title:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(panel.y_title, parse_math=False)
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=10, parse_math=False)
    legend_below(figure, handles, shown.note, handlelength=3.0)
    return figure


def _panel(axes: Axes, panel: LinePanel, handles: dict[str, Any]) -> None:
    axes.set_title(wrapped(panel.title, PANEL_INCHES), fontsize=9, parse_math=False)
    axes.set_xlabel(panel.x_title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    for line in panel.lines:
        _line(axes, line, handles)


def _line(axes: Axes, line: Line, handles: dict[str, Any]) -> None:
    style = style_of(line.style)
    is_marked = line.has_points and len(line.x) <= MAX_MARKED_POINTS
    look: dict[str, Any] = {"color": style.colour, "lw": 1.2, "ls": style.line}
    if is_marked:
        look |= {"marker": style.marker, "ms": 3.5}
    if line.has_band and line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=style.colour, alpha=BAND_ALPHA, lw=0)
    axes.plot(line.x, line.y, **look)
    handle: Any = Line2D([], [], **look)
    if line.has_band:
        handle = (Patch(facecolor=style.colour, alpha=BAND_ALPHA, lw=0), handle)
    handles.setdefault(line.label, handle)
