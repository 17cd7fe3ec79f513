"""What every matplotlib figure shares: one style, one lock, and images that are the same for the same data."""

import io
import threading
from collections.abc import Callable
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmark.errors import TableError

__all__ = ["INK", "PAPER", "Format", "image_of"]

Format = Literal["svg", "png", "pdf"]
METADATA: dict[Format, dict[str, Any]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
INK, PAPER = "#111111", "#ffffff"
STYLE: Any = {
    "font.size": 9,
    "hatch.linewidth": 0.9,
    "svg.hashsalt": "rhobust",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "axes.linewidth": 0.6,
}
# matplotlib keeps its style in one global place; two threads of a server must not swap it under each other.
_LOCK = threading.Lock()


def image_of(draw: Callable[[], Figure], image_format: Format, dpi: int) -> bytes:
    """Return what is drawn as an image; the same bytes for the same figure.

    Args:
        draw: makes the figure, in our style.
        image_format: svg, png or pdf.
        dpi: pixels an inch, of a png and of what a vector figure holds as pixels.

    Raises:
        TableError: for another format.
    """
    if image_format not in METADATA:
        raise TableError(f"unknown format {image_format!r}; known: {', '.join(METADATA)}.")
    with _LOCK, mpl.rc_context(STYLE):
        stream = io.BytesIO()
        figure = draw()
        _settle(figure)
        figure.savefig(stream, format=image_format, dpi=dpi, metadata=METADATA[image_format])
        return stream.getvalue()


def _settle(figure: Figure) -> None:
    """Fix the layout, rounded: the solver's last digits change from run to run, and ids in an svg are made of them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(value), 5) for value in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))
