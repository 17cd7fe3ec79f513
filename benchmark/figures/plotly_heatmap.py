"""Heat maps for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.axes import FigureAxis
from benchmark.figures.heatmap import NO_POINTS, Heatmap, Panel
from benchmark.figures.plotly_page import document_of
from benchmark.robustness.scoring import BoolArray

STRIP_WIDTH = 0.25  # of a panel, for an optimizer without the hyperparameter along x
DOT = 14  # pixels across a point of a design, where there are few
INK, PAPER = "#111111", "#ffffff"
SYMBOLS = {
    "diverged": "x",
    "some seeds diverged": "diamond",
    "collapsed seeds": "circle",
    "some seeds missing": "line-nw-open",
    "no result": "circle-open-dot",
}


def heatmap_plotly(heatmap: Heatmap) -> dict[str, Any]:
    """Return the heat map of one task as a Plotly figure: `{data, layout}` of plain values, no NaN.

    One row of panels, an optimizer each, on shared colours (bright is better): the cells of a grid, or the points of a
    random, Sobol or TPE search. Those within the tolerance of the reference are outlined, the best one bears a star,
    diverged and collapsed ones are marked.
    """
    panels = heatmap.panels
    is_shared = all(panel.y.span == panels[0].y.span for panel in panels)
    widths = [STRIP_WIDTH if not panel.x.exists else 1.0 for panel in panels]
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        shared_yaxes=is_shared,
        column_widths=widths,
        horizontal_spacing=(0.2 if is_shared else 0.3) / max(len(panels), 5),
        subplot_titles=[html.escape(panel.title).replace("\n", "<br>") for panel in panels],
    )
    named: set[str] = set()
    for column, panel in enumerate(panels, start=1):
        for trace in _traces(panel, heatmap.metric_title):
            trace.showlegend = bool(trace.name) and trace.name not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=1, col=column)
        if not panel.mean.size:
            text = NO_POINTS.replace(" ", "<br>")
            middle = {"x": 0.5, "y": 0.5, "xref": "x domain", "yref": "y domain", "showarrow": False}
            figure.add_annotation(text=text, **middle, row=1, col=column)
        figure.update_xaxes(**web_axis(panel.x), row=1, col=column)
        figure.update_yaxes(**web_axis(panel.y, with_title=column == 1), row=1, col=column)
    return document_of(
        figure,
        heatmap.title,
        margin={"l": 70, "r": 20, "t": 80, "b": 90},
        legend={"orientation": "h", "itemsizing": "constant", "y": -0.2, "x": 0.0},
        coloraxis={
            "colorscale": "Cividis",
            "reversescale": heatmap.goal == "minimize",
            "cmin": heatmap.low,
            "cmax": heatmap.high,
            "colorbar": {"title": {"text": html.escape(heatmap.metric_title), "side": "right"}, "outlinewidth": 0},
        },
    )


def _traces(panel: Panel, metric: str) -> Iterator[Any]:
    if not panel.mean.size:
        yield go.Scatter(x=[None], y=[None], hoverinfo="skip")  # without a trace Plotly stumbles over the panel's frame
        return
    told = {"hovertemplate": "%{text}<extra></extra>", "text": _hover(panel, metric)}
    mean = panel.mean.astype(np.object_)
    mean[panel.no_result] = None if panel.is_grid else PAPER
    if panel.is_grid:
        edges = {"x": panel.x.edges.tolist(), "y": panel.y.edges.tolist()}
        yield go.Heatmap(**edges, z=mean.tolist(), coloraxis="coloraxis", **told)
    else:
        dots = {"color": mean.tolist(), "coloraxis": "coloraxis", "line": {"color": PAPER, "width": 0.5}}
        dots["size"] = DOT * panel.dot_scale
        yield _markers(panel, np.ones(panel.mean.shape, dtype=np.bool_), None, dots, **told)
    if panel.good.any():
        for colour, width, name in ((PAPER, 5, None), (INK, 2.5, "within the tolerance")):
            yield _outline(panel, colour, width, name)
    size = 8 if panel.is_grid else DOT * panel.dot_scale / 2  # the colour of a point is seen around its mark
    collapsed = np.asarray(panel.n_collapsed > 0)
    marks = panel.all_diverged, panel.some_diverged, collapsed, panel.some_missing, panel.no_result
    for (name, symbol), mask in zip(SYMBOLS.items(), marks, strict=True):
        if mask.any():
            marker = {"symbol": symbol, "size": size, "color": INK if "open" in symbol else PAPER}
            yield _markers(panel, mask, name, {**marker, "line": {"color": INK, "width": 1}})
    if panel.best.any():
        star = {"symbol": "star", "size": 14, "color": PAPER, "line": {"color": INK, "width": 1.5}}
        yield _markers(panel, panel.best, "best", star)


def _outline(panel: Panel, colour: str, width: float, name: str | None) -> Any:
    if not panel.is_grid:
        marker = {"symbol": "circle-open", "size": DOT * panel.dot_scale, "color": colour}
        return _markers(panel, panel.good, name, {**marker, "line": {"width": width * panel.dot_scale}})
    points: list[tuple[float | None, float | None]] = []
    for start, end in panel.outline():
        points += [start, end, (None, None)]
    return go.Scatter(
        x=[x if x is None else float(x) for x, _ in points],
        y=[y if y is None else float(y) for _, y in points],
        mode="lines",
        line={"color": colour, "width": width},
        hoverinfo="skip",
        name=name,
    )


def _markers(panel: Panel, mask: BoolArray, name: str | None, marker: dict[str, Any], **told: Any) -> Any:
    return go.Scatter(
        x=panel.xs[mask].tolist(),
        y=panel.ys[mask].tolist(),
        mode="markers",
        marker=marker,
        name=name,
        **(told or {"hoverinfo": "skip"}),
    )


def _hover(panel: Panel, metric: str) -> list[Any]:
    along = {axis.title: values for axis, values in ((panel.x, panel.xs), (panel.y, panel.ys)) if axis.exists}
    counts = {"diverged": panel.n_diverged, "collapsed": panel.n_collapsed, "missing": panel.n_missing}
    texts = np.empty(panel.mean.shape, dtype=np.object_)
    for place in np.ndindex(texts.shape):
        parts = [] if panel.is_grid else [f"configuration {place[0] + 1}"]
        parts += [f"{html.escape(name)} {values[place]:.4g}" for name, values in {**along, **panel.further}.items()]
        value = panel.mean[place]
        parts.append(f"{html.escape(metric)} {value:.4g}" if np.isfinite(value) else "no result")
        parts += [f"{n[place]} of {panel.n_seeds} seeds {what}" for what, n in counts.items() if n[place]]
        texts[place] = "<br>".join(parts)
    return list(texts.tolist())


def web_axis(axis: FigureAxis, *, with_title: bool = True) -> dict[str, Any]:
    """Return scale, limits, ticks and title of one side of a panel of cells."""
    ticks = axis.ticks()
    return {
        "type": "log" if axis.is_log else "linear",
        "title": {"text": html.escape(axis.title) if with_title else ""},
        "tickmode": "array",
        "tickvals": [value for value, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "range": np.log10(axis.span).tolist() if axis.is_log else list(axis.span),
        "showgrid": False,
        "showline": True,
        "mirror": True,
        "linecolor": INK,
        "linewidth": 1,
        "zeroline": False,
        "ticks": "outside" if ticks else "",
    }
