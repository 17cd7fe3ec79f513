"""Difference maps for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.difference import DifferenceMap, DifferencePanel
from benchmark.figures.matplotlib_image import INK
from benchmark.figures.plotly_heatmap import web_axis
from benchmark.figures.plotly_page import add_note, document_of

SYMBOLS = {"first above second": ("above", "cross-thin-open"), "first below second": ("below", "line-ew-open")}
MARK, HALO = "#101010", "#fefefe"  # on the colours of the map, which are the same on a dark page, unlike ink and paper
TITLE_LETTERS = 24  # of a panel, in a line
TITLE_POINTS = 13


def difference_plotly(shown: DifferenceMap) -> dict[str, Any]:
    """Return the difference map of one task as a Plotly figure: `{data, layout}` of plain values, no NaN."""
    figure = make_subplots(
        rows=1,
        cols=len(shown.panels),
        shared_yaxes=True,
        horizontal_spacing=0.2 / max(len(shown.panels), 5),
        subplot_titles=[_title(panel) for panel in shown.panels],
    )
    figure.update_annotations(font_size=TITLE_POINTS)
    named: set[str] = set()
    for column, panel in enumerate(shown.panels, start=1):
        for trace in _traces(shown, panel):
            trace.showlegend = bool(trace.name) and trace.name not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(**web_axis(shown.x), row=1, col=column)
        figure.update_yaxes(**web_axis(shown.y, with_title=column == 1), row=1, col=column)
    add_note(figure, shown.note, y=-0.36)
    return document_of(
        figure,
        shown.title,
        margin={"l": 70, "r": 20, "t": 80, "b": 140},
        legend={"orientation": "h", "y": -0.24, "x": 0.0},
        coloraxis={
            "colorscale": "PuOr",
            "cmin": -shown.limit,
            "cmax": shown.limit,
            "colorbar": {"title": {"text": html.escape(shown.bar_title), "side": "right"}, "outlinewidth": 0},
        },
    )


def _title(panel: DifferencePanel) -> str:
    """Return the pair, on two lines where its labels are long, as those with the names of their jobs are."""
    gap = "<br>" if len(panel.title) > TITLE_LETTERS else " "
    return f"{html.escape(panel.first)}{gap}\N{MINUS SIGN} {html.escape(panel.second)}"


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
            place = {"x": shown.x.values[columns].tolist(), "y": shown.y.values[rows].tolist(), "mode": "markers"}
            for colour, width in ((HALO, 4.0), (MARK, 1.5)):  # seen on dark cells and on bright ones
                yield go.Scatter(**place, marker=_marker(symbol, colour, width), hoverinfo="skip")
            yield go.Scatter(x=[None], y=[None], mode="markers", marker=_marker(symbol, INK, 1.5), name=name)


def _marker(symbol: str, colour: str, width: float) -> dict[str, Any]:
    return {"symbol": symbol, "size": 8, "color": colour, "line": {"color": colour, "width": width}}


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
