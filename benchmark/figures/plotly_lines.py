"""Figures of lines for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.lines import Line, LineFigure, LinePanel
from benchmark.figures.matplotlib_image import INK
from benchmark.figures.matplotlib_lines import BAND_ALPHA, MAX_MARKED_POINTS
from benchmark.figures.plotly_page import add_note, document_of
from benchmark.figures.styles import style_of
from benchmark.robustness.scoring import FloatArray


def lines_plotly(shown: LineFigure) -> dict[str, Any]:
    """Return a figure of lines as a Plotly figure: `{data, layout}` of plain values, no NaN."""
    titles = [html.escape(panel.title) for panel in shown.panels]
    figure = make_subplots(rows=1, cols=len(shown.panels), subplot_titles=titles, horizontal_spacing=0.08)
    named: set[str] = set()
    for column, panel in enumerate(shown.panels, start=1):
        for trace in _traces(panel):
            trace.showlegend = bool(trace.name) and trace.name not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=1, col=column)
        axis = {"showline": True, "linecolor": INK, "zeroline": False, "showgrid": False, "ticks": "outside"}
        kind = "log" if panel.is_log else "linear"
        figure.update_xaxes(title={"text": html.escape(panel.x_title)}, type=kind, **axis, row=1, col=column)
        is_first = column == 1 or panel.y_title != shown.panels[column - 2].y_title
        title = {"text": html.escape(panel.y_title) if is_first else ""}
        figure.update_yaxes(title=title, range=list(shown.y_range(panel)), **axis, row=1, col=column)
    add_note(figure, shown.note, y=-0.22)
    return document_of(
        figure,
        shown.title,
        margin={"l": 70, "r": 20, "t": 80, "b": 110},
        legend={"orientation": "h", "y": -0.25, "x": 0.0},
    )


def _traces(panel: LinePanel) -> Iterator[Any]:
    for line in panel.lines:
        yield from _band(line)
        style = style_of(line.style)
        is_marked = line.has_points and len(line.x) <= MAX_MARKED_POINTS
        yield go.Scatter(
            x=line.x.tolist(),
            y=_plain(line.y),
            mode="lines+markers" if is_marked else "lines",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            marker={"symbol": style.symbol, "size": 6, "color": style.colour},
            name=html.escape(line.label),
            legendgroup=line.label,
        )


def _band(line: Line) -> Iterator[Any]:
    if not line.has_band or line.low is None or line.high is None:
        return
    known = np.flatnonzero(np.isfinite(line.low) & np.isfinite(line.high))
    x: list[float | None] = []
    y: list[float | None] = []
    for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):  # a polygon for each stretch without a gap
        x += [*line.x[part].tolist(), *line.x[part[::-1]].tolist(), None]
        y += [*line.low[part].tolist(), *line.high[part[::-1]].tolist(), None]
    red, green, blue = (int(style_of(line.style).colour[place : place + 2], 16) for place in (1, 3, 5))
    yield go.Scatter(
        x=x[:-1],
        y=y[:-1],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},{BAND_ALPHA})",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        legendgroup=line.label,
    )


def _plain(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
