"""The robustness table for a terminal of 100 columns."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmark.robustness.rendering.escaping import printable
from benchmark.robustness.rendering.layout import Panel, TextCell, phi_lines, sections
from benchmark.robustness.table import RobustnessTable

MIN_LABEL_WIDTH, MAX_LABEL_WIDTH = 8, 16
RANK_WIDTH = len("rank 1 [1-9]")


def render_rich(table: RobustnessTable) -> RenderableType:
    """Return the table for a Rich console; legible without colours, texts of users taken literally."""
    parts: list[RenderableType] = []
    for section in sections(table):
        parts.extend(_panel(panel) for panel in section.panels)
        parts.extend(Padding(Text(printable(line), style="yellow"), (0, 1)) for line in section.notes)
        parts.append(Padding(Text(printable(" ".join(section.caption)), style="dim"), (0, 1, 1, 1)))
    parts.extend(Padding(Text(printable(line)), (0, 1)) for line in phi_lines(table))
    return Group(*parts)


def _panel(panel: Panel) -> Table:
    table = Table(
        title=Text(printable(panel.title)),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column(
        "optimizer",
        min_width=RANK_WIDTH if panel.ranks else MIN_LABEL_WIDTH,
        max_width=MAX_LABEL_WIDTH,
        overflow="fold",
    )
    for name in panel.columns:
        table.add_column(Text(name), justify="right", overflow="fold")
    for place, (label, cells) in enumerate(panel.rows):
        heading = Text(printable(label))
        if panel.ranks:
            heading.append(f"\nrank {panel.ranks[place]}", style="dim")
        table.add_row(heading, *(_cell(cell) for cell in cells))
    return table


def _cell(cell: TextCell) -> Text:
    text = Text(f"{cell.value}{'*' if cell.leads else ''}", style="bold" if cell.leads else "")
    if cell.interval is not None:
        text.append(f"\n{cell.interval}", style="not bold")
    if cell.raw is not None:
        text.append(f"\nraw {cell.raw}", style="not bold dim")
    return text
