"""The robustness table as LaTeX for papers; needs the package booktabs and nothing else."""

from collections.abc import Iterable

from benchmark.robustness.rendering import escaping
from benchmark.robustness.rendering.layout import Panel, TextCell, phi_lines, sections
from benchmark.robustness.table import RobustnessTable


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
    names = ["optimizer", *(["rank"] if panel.ranks else []), *(escaping.latex(name) for name in panel.columns)]
    body = [
        " & ".join([escaping.latex(label), *panel.ranks[place : place + 1], *map(_cell, cells)]) + r" \\"
        for place, (label, cells) in enumerate(panel.rows)
    ]
    return [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
        r"\toprule",
        " & ".join(names) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{' '.join(escaping.latex(line) for line in caption)}}}",
        r"\end{table}",
    ]


def _cell(cell: TextCell) -> str:
    value = escaping.latex(cell.value)
    value = rf"\textbf{{{value}}}*" if cell.leads else value
    interval = rf" {{\scriptsize {escaping.latex(cell.interval)}}}" if cell.interval is not None else ""
    raw = f" ({escaping.latex(cell.raw)})" if cell.raw is not None else ""
    return value + interval + raw
