"""Sharpness against score for papers: svg, png or pdf by matplotlib."""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmark.figures.matplotlib_image import PAPER, Format, image_of
from benchmark.figures.sharpness import SharpnessFigure, SharpnessPanel
from benchmark.figures.styles import style_of

PANEL_INCHES, HEIGHT_INCHES, LINE_INCHES = 3.0, 2.5, 0.17
MAX_COLUMNS = 3
LETTERS_PER_INCH = 16  # of the note
ALPHA = 0.75
MAX_VECTOR_POINTS = 20_000  # a figure of more holds its points as pixels


def sharpness_matplotlib(shown: SharpnessFigure, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return sharpness against test score as an image; the same bytes for the same figure.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch, of a png and of very many points.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(shown: SharpnessFigure) -> Figure:
    n_columns = min(MAX_COLUMNS, len(shown.panels))
    n_rows = math.ceil(len(shown.panels) / n_columns)
    width = max(PANEL_INCHES * n_columns, 1.5 * PANEL_INCHES)
    note = textwrap.wrap(shown.note, int(width * LETTERS_PER_INCH))
    n_lines = max(len(panel.clouds) for panel in shown.panels)
    height = n_rows * (HEIGHT_INCHES + LINE_INCHES * n_lines) + LINE_INCHES * len(note) + 0.3
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(shown.panels) :]:
        axes.set_visible(False)
    n_points = sum(len(cloud.x) for panel in shown.panels for cloud in panel.clouds)
    for place, panel in enumerate(shown.panels):
        axes = grid.flat[place]
        _panel(axes, panel, rasterized=n_points > MAX_VECTOR_POINTS)
        if place % n_columns == 0:
            axes.set_ylabel(shown.y_title, parse_math=False)
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=10, parse_math=False)
    figure.supxlabel("\n".join(note), x=0.01, ha="left", fontsize=7, parse_math=False)
    return figure


def _panel(axes: Axes, panel: SharpnessPanel, *, rasterized: bool) -> None:
    for cloud in panel.clouds:
        style = style_of(cloud.style)
        faces = np.where(cloud.collapsed, PAPER, style.colour)
        axes.scatter(
            cloud.x,
            cloud.y,
            s=14,
            marker=style.marker,
            facecolors=faces.tolist(),
            edgecolors=style.colour,
            linewidths=0.7,
            alpha=ALPHA,
            rasterized=rasterized,
        )
        axes.scatter([], [], s=14, marker=style.marker, color=style.colour, label=cloud.label)
    if panel.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(panel.title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(-0.1, -0.22), frameon=False, fontsize=8, handletextpad=0.2, borderaxespad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
