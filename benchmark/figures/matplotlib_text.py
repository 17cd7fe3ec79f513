"""Texts of matplotlib figures that must not run out of the picture, whatever the labels are: titles and legends."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

TITLE_LETTERS, LEGEND_LETTERS, NOTE_LETTERS = 13, 15, 18  # in an inch
ENTRY_INCHES = 0.6  # of an entry of a legend beside its text
ROW_INCHES, LINE_INCHES = 0.17, 0.12  # of a row of a legend, and of a line of a note: the panels keep their height


def wrapped(text: str, inches: float, letters: int = TITLE_LETTERS) -> str:
    """Return a text in lines of a width; those that it has stay apart."""
    return "\n".join(textwrap.fill(line, max(int(inches * letters), 1)) for line in text.splitlines())


def legend_below(figure: Figure, handles: Mapping[str, Any], note: str = "", **options: Any) -> None:
    """Give a figure a legend under its panels, with a note above it, in as many columns as fit.

    Args:
        figure: laid out by constraints.
        handles: by label; none at all leaves the note.
        note: a paragraph.
        options: of matplotlib's legend.
    """
    width = figure.get_figwidth()
    paragraph = wrapped(note, width, NOTE_LETTERS)
    if not handles:
        figure.supxlabel(paragraph, x=0.01, ha="left", fontsize=7, parse_math=False)
        return
    labels = [wrapped(label, width - ENTRY_INCHES, LEGEND_LETTERS) for label in handles]
    n_columns = _n_columns([max(map(len, label.splitlines()), default=0) for label in labels], width)
    n_further_rows = math.ceil(len(labels) / n_columns) - 1 + sum(label.count("\n") for label in labels)
    further = ROW_INCHES * n_further_rows + LINE_INCHES * paragraph.count("\n")
    figure.set_figheight(figure.get_figheight() + further)
    legend = figure.legend(
        list(handles.values()),
        labels,
        loc="outside lower left",
        ncols=n_columns,
        frameon=False,
        fontsize=8,
        title=paragraph or None,
        title_fontsize=7,
        alignment="left",
        **options,
    )
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def _n_columns(lengths: Sequence[int], inches: float) -> int:
    """Return the most columns that fit; matplotlib fills them one after the other, each as wide as its longest."""
    for n_columns in range(len(lengths), 1, -1):
        n_rows = math.ceil(len(lengths) / n_columns)
        columns = [lengths[start : start + n_rows] for start in range(0, len(lengths), n_rows)]
        if sum(max(column) / LEGEND_LETTERS + ENTRY_INCHES for column in columns) <= inches:
            return n_columns
    return 1
