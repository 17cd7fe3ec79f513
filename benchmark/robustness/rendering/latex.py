"""The robustness table as LaTeX for papers; needs the package booktabs and nothing else."""

from collections.abc import Iterable, Iterator, Sequence

from benchmark.robustness.rendering import escaping
from benchmark.robustness.rendering.layout import Panel, TextCell, phi_lines, sections
from benchmark.robustness.table import RobustnessTable

MAX_NAME = 10  # letters of a column's name on one line


def render_latex(table: RobustnessTable) -> str:
    """Return the table as LaTeX, one `table` environment a panel, texts of users escaped."""
    lines = [r"% \usepackage{booktabs}"]
    for section in sections(table):
        main, *others = section.panels
        lines += _panel(main, [f"{main.title}.", *section.caption, *section.notes])
        for panel in others:
            lines += _panel(panel, [f"{panel.title} of {main.title}."])
    lines += [rf"\noindent {escaping.latex(line)}.\par" for line in phi_lines(table)]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, caption: Iterable[str]) -> list[str]:
    names = ["optimizer", *(["rank"] if panel.ranks else []), *panel.columns]
    body = []
    for place, (label, cells) in enumerate(panel.rows):
        head = [_label(label), *panel.ranks[place : place + 1]]
        below = [["", *[""] * bool(panel.ranks), *texts] for texts in _below(cells)]
        body += [r"\addlinespace"] if place and below else []
        body += [" & ".join(line) + r" \\" for line in ([*head, *map(_value, cells)], *below)]
    return [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
        r"\toprule",
        *(" & ".join(map(escaping.latex, line)) + r" \\" for line in _heading(names)),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{' '.join(escaping.latex(line) for line in caption)}}}",
        r"\end{table}",
    ]


def _label(label: str) -> str:
    """Return the head of a line so that the end of the line above takes nothing of it for an option of its own."""
    return ("{}" if label.startswith(("[", "*")) else "") + escaping.latex(label)


def _heading(names: Sequence[str]) -> list[list[str]]:
    """Return the lines of the heading: two where a name is long, broken at its last space."""
    lines = [name.rsplit(" ", 1) if len(name) > MAX_NAME else ["", name] for name in names]
    broken = [line if len(line) > 1 else ["", *line] for line in lines]
    upper, lower = ([line[place] for line in broken] for place in (0, 1))
    return [upper, lower] if any(upper) else [lower]


def _value(cell: TextCell) -> str:
    value = escaping.latex(cell.value)
    return rf"\textbf{{{value}}}*" if cell.leads else value


def _below(cells: Sequence[TextCell]) -> Iterator[list[str]]:
    """Yield what stands under the values, so that the columns fit on a page: intervals, and raw scores."""
    intervals = [cell.interval for cell in cells]
    raws = [None if cell.raw is None else f"({cell.raw})" for cell in cells]
    for texts in (intervals, raws):
        if any(texts):
            yield [rf"{{\scriptsize {escaping.latex(text)}}}" if text else "" for text in texts]
