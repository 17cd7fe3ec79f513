"""The robustness table as Markdown (GitHub's tables)."""

from benchmark.robustness.rendering import escaping
from benchmark.robustness.rendering.layout import Panel, TextCell, phi_lines, sections
from benchmark.robustness.table import RobustnessTable


def render_markdown(table: RobustnessTable) -> str:
    """Return the table as Markdown, texts of users escaped."""
    blocks: list[str] = []
    for section in sections(table):
        for level, panel in zip(("###", "####", "####"), section.panels, strict=False):
            blocks.append(f"{level} {escaping.markdown(panel.title)}")
            blocks.append(_panel(panel))
        blocks.append(" ".join(escaping.markdown(line) for line in section.caption))
        blocks.append("\n".join(f"- {escaping.markdown(line)}" for line in section.notes))
    blocks.append("\n".join(f"- {escaping.markdown(line)}" for line in phi_lines(table)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _panel(panel: Panel) -> str:
    names = ["optimizer", *(["rank"] if panel.ranks else []), *(escaping.markdown(name) for name in panel.columns)]
    lines = [
        "| " + " | ".join(names) + " |",
        "|" + "|".join([" :--- ", *(" ---: " for _ in names[1:])]) + "|",
    ]
    for place, (label, cells) in enumerate(panel.rows):
        texts = [escaping.markdown(label), *panel.ranks[place : place + 1], *map(_cell, cells)]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _cell(cell: TextCell) -> str:
    value = f"**{cell.value}**\\*" if cell.leads else cell.value
    interval = f" {cell.interval}" if cell.interval is not None else ""
    raw = f" ({cell.raw})" if cell.raw is not None else ""
    return value + interval + raw
