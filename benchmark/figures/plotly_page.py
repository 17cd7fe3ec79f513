"""What every Plotly figure shares: the look of its page, and its form as plain values."""

import html
import textwrap
from typing import Any

import plotly.graph_objects as go

from benchmark.figures.matplotlib_image import INK, PAPER

NOTE = "note"  # name of the annotation below a figure: a page may have its text elsewhere
NOTE_LETTERS = 130  # in a line


def document_of(figure: go.Figure, title: str, **layout: Any) -> dict[str, Any]:
    """Return a figure as `{data, layout}` of plain values that JSON can hold.

    Args:
        figure: with its traces and axes.
        title: of the whole; taken literally.
        layout: what else its layout is to have.
    """
    top = {"text": html.escape(title), "x": 0.0, "xanchor": "left", "y": 0.98, "yanchor": "top"}
    figure.update_layout(template={}, title=top, paper_bgcolor=PAPER, plot_bgcolor=PAPER, font={"color": INK}, **layout)
    document: dict[str, Any] = figure.to_plotly_json()
    return {"data": document["data"], "layout": document["layout"]}


def add_note(figure: go.Figure, text: str, *, y: float) -> None:
    """Write a note below a figure.

    Args:
        figure: with its panels.
        text: taken literally; none at all adds nothing.
        y: of its upper edge, in heights of the panels from their lower edge.
    """
    if text:
        figure.add_annotation(
            name=NOTE,
            text="<br>".join(map(html.escape, textwrap.wrap(text, NOTE_LETTERS))),
            showarrow=False,
            font={"size": 10},
            align="left",
            xref="paper",
            yref="paper",
            x=0.0,
            y=y,
            xanchor="left",
            yanchor="top",
        )
