"""What notebooks show: plain HTML without style or script, every text escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from benchmark.robustness.rendering.escaping import printable


def html_table(columns: Iterable[object], rows: Iterable[Sequence[object]], *, notes: Sequence[str] = ()) -> str:
    """Return a table with a head; None is an empty cell."""
    lines = [f"<tr>{''.join(f'<th>{html_text(name)}</th>' for name in columns)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html_text(value)}</td>' for value in row)}</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>" + "".join(f"\n<p>{html_text(note)}</p>" for note in notes)


def html_bar(n_done: int, total: int) -> str:
    """Return a progress bar."""
    return f'<progress value="{n_done}" max="{max(1, total)}"></progress>'


def html_link(url: str, text: str) -> str:
    """Return a link to a page of the server; a text alone where the address is none of the web."""
    if not url.startswith(("http://", "https://")):
        return html_text(text)
    return f'<a href="{html_text(url)}">{html_text(text)}</a>'


def html_text(value: object) -> str:
    """Return a value as text that is no markup."""
    return "" if value is None else escape(printable(str(value)))
