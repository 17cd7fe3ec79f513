"""The robustness table as HTML for notebooks: no style or script of its own."""

from html import escape

from benchmark.robustness.rendering.escaping import printable
from benchmark.robustness.rendering.layout import Panel, TextCell, phi_lines, sections
from benchmark.robustness.table import RobustnessTable


def render_html(table: RobustnessTable) -> str:
    """Return the table as HTML, texts of users escaped."""
    blocks = []
    for section in sections(table):
        blocks += [_panel(panel) for panel in section.panels]
        blocks.append(
            f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in section.notes)}</ul>" if section.notes else ""
        )
        blocks.append(f"<p><small>{_text(' '.join(section.caption))}</small></p>")
    blocks += [f"<p>{_text(line)}</p>" for line in phi_lines(table)]
    return "\n".join(block for block in blocks if block) + "\n"


def _panel(panel: Panel) -> str:
    names = ["optimizer", *(["rank"] if panel.ranks else []), *panel.columns]
    lines = [f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in names)}</tr>"]
    for place, (label, cells) in enumerate(panel.rows):
        texts = [_text(label), *map(_text, panel.ranks[place : place + 1]), *map(_cell, cells)]
        lines.append(f"<tr>{''.join(f'<td>{text}</td>' for text in texts)}</tr>")
    return f"<table>\n<caption>{_text(panel.title)}</caption>\n" + "\n".join(lines) + "\n</table>"


def _cell(cell: TextCell) -> str:
    value = f"<b>{_text(cell.value)}*</b>" if cell.leads else _text(cell.value)
    further = [cell.interval, None if cell.raw is None else f"raw {cell.raw}"]
    return value + "".join(f"<br><small>{_text(text)}</small>" for text in further if text is not None)


def _text(text: str) -> str:
    return escape(printable(text))
