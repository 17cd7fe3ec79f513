"""Difference maps for web pages: a Plotly figure as plain values that JSON can hold."""

import html
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.difference import DifferenceMap, DifferencePanel
from benchmark.figures.matplotlib_image import INK
from benchmark.figures.plotly_heatmap import web_axis
from benchmark.figures.plotly_page import document_of

SYMBOLS = {"first above second": ("above", "cross-thin-open"), "first below second": ("below", "line-ew-open")}
NOTE_LETTERS = 130  # in a line


def difference_plotly(shown: DifferenceMap) -> dict[str, Any]:
    """Return the difference map of one task as a Plotly figure: `{data, layout}` of plain values, no NaN."""
    figure = make_subplots(
        rows=1,
        cols=len(shown.panels),
        shared_yaxes=True,
        horizontal_spacing=0.2 / max(len(shown.panels), 5),
        subplot_titles=[html.escape(panel.title) for panel in shown.panels],
    )
    named: set[str] = set()
    for column, panel in enumerate(shown.panels, start=1):
        for trace in _traces(shown, panel):
            trace.showlegend = bool(trace.name) and trace.name not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(**web_axis(shown.x), row=1, col=column)
        figure.update_yaxes(**web_axis(shown.y, with_title=column == 1), row=1, col=column)
    figure.add_annotation(
        text="<br>".join(textwrap.wrap(html.escape(shown.note), NOTE_LETTERS)),
        showarrow=False,
        font={"size": 10},
        align="left",
        xref="paper",
        yref="paper",
        x=0.0,
        y=-0.3,
        xanchor="left",
        yanchor="top",
    )
    return document_of(
        figure,
        shown.title,
        margin={"l": 70, "r": 20, "t": 80, "b": 130},
        legend={"orientation": "h", "y": -0.18, "x": 0.0},
        coloraxis={
            "colorscale": "PuOr",
            "cmin": -shown.limit,
            "cmax": shown.limit,
            "colorbar": {"title": {"text": html.escape(shown.bar_title), "side": "right"}, "outlinewidth": 0},
        },
    )


def _traces(shown: DifferenceMap, panel: DifferencePanel) -> Iterator[Any]:
    values = panel.mean.astype(np.object_)
    values[panel.no_result] = None
    edges = {"x": shown.x.edges.tolist(), "y": shown.y.edges.tolist()}
    told = {"hovertemplate": "%{text}<extra></extra>", "text": _hover(shown, panel)}
    yield go.Heatmap(**edges, z=values.tolist(), coloraxis="coloraxis", **told)
    for name, (which, symbol) in SYMBOLS.items():
        mask = getattr(panel, which)
        if mask.any():
            rows, columns = np.nonzero(mask)
            yield go.Scatter(
                x=shown.x.values[columns].tolist(),
                y=shown.y.values[rows].tolist(),
                mode="markers",
                marker={"symbol": symbol, "size": 8, "color": INK, "line": {"color": INK, "width": 1.5}},
                name=name,
                hoverinfo="skip",
            )


def _hover(shown: DifferenceMap, panel: DifferencePanel) -> list[list[str]]:
    texts = []
    for row, y in enumerate(shown.y.values):
        line = []
        for column, x in enumerate(shown.x.values):
            parts = [f"{html.escape(axis.title)} {at:.4g}" for axis, at in ((shown.x, x), (shown.y, y)) if axis.exists]
            mean, low, high = (part[row, column] for part in (panel.mean, panel.low, panel.high))
            parts.append(f"difference {mean:+.4g}" if np.isfinite(mean) else "no result")
            parts += [f"interval {low:+.4g} to {high:+.4g}"] if np.isfinite(low) else []
            line.append("<br>".join(parts))
        texts.append(line)
    return texts
