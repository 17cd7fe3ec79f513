"""Figures of ranks for papers: svg, png or pdf by matplotlib."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.matplotlib_image import Format, image_of
from benchmark.figures.matplotlib_text import legend_below, wrapped
from benchmark.figures.ranks import RanksFigure, RanksPanel
from benchmark.figures.styles import style_of

PANEL_INCHES, MIN_INCHES, LABEL_INCHES = 3.2, 4.2, 1.4
ROW_INCHES, FURTHER_INCHES = 0.35, 1.3  # of a row, and of what stands above and below them


def ranks_matplotlib(shown: RanksFigure, *, image_format: Format = "svg", dpi: int = 200) -> bytes:
    """Return a figure of ranks as an image; the same bytes for the same figure.

    Args:
        shown: what to draw.
        image_format: svg, png or pdf.
        dpi: pixels an inch of a png.

    Raises:
        TableError: for another format.
    """
    return image_of(lambda: _draw(shown), image_format, dpi)


def _draw(shown: RanksFigure) -> Figure:
    size = max(PANEL_INCHES * len(shown.panels), MIN_INCHES), FURTHER_INCHES + ROW_INCHES * shown.n_rows
    figure = Figure(figsize=size, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(shown.panels), squeeze=False)[0], shown.panels, strict=True):
        _panel(axes, panel)
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=10, parse_math=False)
    legend_below(figure, {}, shown.note)
    return figure


def _panel(axes: Axes, panel: RanksPanel) -> None:
    n = len(panel.rows)
    for place, row in enumerate(panel.rows):
        style, rank = style_of(row.style), row.rank
        ends = [[rank.value - rank.low], [rank.high - rank.value]]
        axes.errorbar(rank.value, place, xerr=ends, color=style.colour, marker=style.marker, ms=6, lw=1.5, capsize=4)
    axes.set_title(wrapped(panel.title, PANEL_INCHES), fontsize=9, parse_math=False)
    axes.set_xlabel("rank")
    axes.set_xlim(0.5, n + 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_xticks(panel.ticks)
    labels = [wrapped(row.optimizer, LABEL_INCHES) for row in panel.rows]
    axes.set_yticks(range(n), labels=labels, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
