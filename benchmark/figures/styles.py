"""How the lines of several optimizers are told apart: by colour, marker and dashes, so that a print in grey will do.

The colours are those of M. Okabe and K. Ito, Color Universal Design, 2008, which people with any colour vision tell
apart, the darkest first.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """One look of a line.

    Attributes:
        colour: as #rrggbb.
        marker: matplotlib's letter of the marker.
        symbol: Plotly's name of it.
        dashes: lengths of strokes and gaps in widths of the line; none for a whole line.
    """

    colour: str
    marker: str
    symbol: str
    dashes: tuple[int, ...]

    @property
    def line(self) -> str | tuple[int, tuple[int, ...]]:
        """What matplotlib calls the style of the line."""
        return (0, self.dashes) if self.dashes else "-"

    @property
    def dash(self) -> str:
        """What Plotly calls the dash of the line."""
        return ",".join(f"{2 * length}px" for length in self.dashes) or "solid"


STYLES = (
    Style("#000000", "s", "square", ()),
    Style("#0072b2", "o", "circle", ()),
    Style("#d55e00", "^", "triangle-up", (5, 1)),
    Style("#009e73", "D", "diamond", (3, 1, 1, 1)),
    Style("#cc79a7", "v", "triangle-down", (2, 1)),
    Style("#e69f00", "P", "cross", (7, 1, 1, 1)),
    Style("#56b4e9", "h", "hexagon", (1, 1)),
)


def numbered(labels: Iterable[str]) -> dict[str, int]:
    """Return the number of the look of each optimizer, in the order in which they come."""
    return {label: number for number, label in enumerate(dict.fromkeys(labels))}


def style_of(number: int) -> Style:
    """Return the look of the n-th optimizer of a figure; from the eighth on the looks come again."""
    return STYLES[number % len(STYLES)]
