"""What every Plotly figure shares: the look of its page, and its form as plain values."""

import html
from typing import Any

import plotly.graph_objects as go

from benchmark.figures.matplotlib_image import INK, PAPER


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
