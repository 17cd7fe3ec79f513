"""Heat maps for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.axes import FigureAxis
from benchmark.figures.heatmap import Panel, Surface, prepare_heatmap
from benchmark.robustness.scoring import BoolArray, TaskScoring

STRIP_WIDTH = 0.25  # of a panel, for an optimizer without the hyperparameter along x
INK, PAPER = "#111111", "#ffffff"
SYMBOLS = {"diverged": "x", "some seeds diverged": "diamond", "collapsed": "circle", "no result": "circle-open-dot"}


def heatmap_plotly(
    surfaces: Sequence[Surface],
    scoring: TaskScoring,
    *,
    selection: Sequence[Surface] | None = None,
    y_ref: float | None = None,
) -> dict[str, Any]:
    """Return the heat map of one task as a Plotly figure: `{data, layout}` of plain values, no NaN.

    One row of panels, an optimizer each, on shared colours (bright is better). The cells within the tolerance of the
    reference are outlined, the best one bears a star, diverged and collapsed ones are marked.

    Args:
        surfaces: what is shown; those of other tasks are left out.
        scoring: how the task is scored.
        selection: surfaces of the validation scores, which choose best and good cells; by default those shown.
        y_ref: reference in raw units; by default the best mean of the selection.

    Raises:
        TableError: where no surface is of the task, or the selection does not match.
    """
    heatmap = prepare_heatmap(surfaces, scoring, selection=selection, y_ref=y_ref)
    panels = heatmap.panels
    widths = [STRIP_WIDTH if not panel.x.exists else 1.0 for panel in panels]
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        shared_yaxes=True,
        column_widths=widths,
        horizontal_spacing=0.2 / max(len(panels), 5),
        subplot_titles=[html.escape(panel.title) for panel in panels],
    )
    named: set[str] = set()
    for column, panel in enumerate(panels, start=1):
        for trace in _traces(panel, heatmap.metric_title):
            trace.showlegend = bool(trace.name) and trace.name not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(**_axis(panel.x), row=1, col=column)
        figure.update_yaxes(**_axis(panel.y, with_title=column == 1), row=1, col=column)
    figure.update_layout(
        template={},
        title={"text": html.escape(heatmap.title), "x": 0.0, "xanchor": "left"},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"color": INK},
        margin={"l": 70, "r": 20, "t": 80, "b": 90},
        legend={"orientation": "h", "y": -0.2, "x": 0.0},
        coloraxis={
            "colorscale": "Cividis",
            "reversescale": heatmap.goal == "minimize",
            "cmin": heatmap.low,
            "cmax": heatmap.high,
            "colorbar": {"title": {"text": html.escape(heatmap.metric_title), "side": "right"}, "outlinewidth": 0},
        },
    )
    document: dict[str, Any] = figure.to_plotly_json()
    return {"data": document["data"], "layout": document["layout"]}


def _traces(panel: Panel, metric: str) -> Iterator[Any]:
    mean = [[None if np.isnan(value) else value for value in row] for row in panel.mean.tolist()]
    yield go.Heatmap(
        x=panel.x.edges.tolist(),
        y=panel.y.edges.tolist(),
        z=mean,
        coloraxis="coloraxis",
        hovertemplate="%{text}<extra></extra>",
        text=_hover(panel, metric),
    )
    segments = panel.outline()
    if segments:
        points: list[tuple[float | None, float | None]] = []
        for start, end in segments:
            points += [start, end, (None, None)]
        for colour, width, name in ((PAPER, 5, None), (INK, 2.5, "within the tolerance")):
            yield go.Scatter(
                x=[x if x is None else float(x) for x, _ in points],
                y=[y if y is None else float(y) for _, y in points],
                mode="lines",
                line={"color": colour, "width": width},
                hoverinfo="skip",
                name=name,
            )
    marks = panel.all_diverged, panel.some_diverged, np.asarray(panel.n_collapsed > 0), panel.no_result
    for (name, symbol), mask in zip(SYMBOLS.items(), marks, strict=True):
        if mask.any():
            marker = {"symbol": symbol, "size": 8, "color": INK if "open" in symbol else PAPER}
            yield _markers(panel, mask, name, {**marker, "line": {"color": INK, "width": 1}})
    if panel.best is not None:
        best = np.zeros(panel.mean.shape, dtype=np.bool_)
        best[panel.best] = True
        yield _markers(
            panel, best, "best", {"symbol": "star", "size": 14, "color": PAPER, "line": {"color": INK, "width": 1.5}}
        )


def _markers(panel: Panel, mask: BoolArray, name: str, marker: dict[str, Any]) -> Any:
    rows, columns = np.nonzero(mask)
    return go.Scatter(
        x=panel.x.values[columns].tolist(),
        y=panel.y.values[rows].tolist(),
        mode="markers",
        marker=marker,
        hoverinfo="skip",
        name=name,
    )


def _hover(panel: Panel, metric: str) -> list[list[str]]:
    name = html.escape(metric)
    texts = []
    for row, y in enumerate(panel.y.values):
        line = []
        for column, x in enumerate(panel.x.values):
            parts = [
                f"{html.escape(axis.title)} {value:.4g}" for axis, value in ((panel.x, x), (panel.y, y)) if axis.exists
            ]
            value = panel.mean[row, column]
            parts.append(f"{name} {value:.4g}" if np.isfinite(value) else "no result")
            for what, counts in (
                ("diverged", panel.n_diverged),
                ("collapsed", panel.n_collapsed),
                ("missing", panel.n_missing),
            ):
                if counts[row, column]:
                    parts.append(f"{counts[row, column]} of {panel.n_seeds} seeds {what}")
            line.append("<br>".join(parts))
        texts.append(line)
    return texts


def _axis(axis: FigureAxis, *, with_title: bool = True) -> dict[str, Any]:
    ticks = axis.ticks()
    return {
        "type": "log" if axis.is_log else "linear",
        "title": {"text": html.escape(axis.title) if with_title else ""},
        "tickmode": "array",
        "tickvals": [value for value, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "range": (np.log10(axis.edges[[0, -1]]) if axis.is_log else axis.edges[[0, -1]]).tolist(),
        "showgrid": False,
        "zeroline": False,
        "ticks": "outside" if ticks else "",
    }
