"""Heat maps for web pages: a Plotly figure as plain values that JSON can hold."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.axes import FigureAxis
from benchmark.figures.heatmap import NO_POINTS, Heatmap, Panel, Segment
from benchmark.figures.matplotlib_image import INK, PAPER
from benchmark.figures.plotly_page import document_of
from benchmark.robustness.scoring import BoolArray, IntArray

STRIP_WIDTH = 0.25  # of a panel, for an optimizer without the hyperparameter along x
DOT = 14  # pixels across a point of a design, where there are few
MAX_TOLD_SEEDS = 30  # of a cell; a longer text would not fit beside it
MAX_LINES, SEEDS_A_LINE = 10, 3  # seeds that have a line each, and how many share one where there are more
HATCHED_FROM, THINNEST = 24, 0.35  # cells along a side from which on the hatches get thinner, and how thin at most
SYMBOLS = {
    "diverged": "x",
    "some seeds diverged": "diamond",
    "collapsed seeds": "circle",
    "some seeds missing": "line-nw-open",
    "no result": "circle-open-dot",
}
# strokes over a cell, each from (x, y) to (x, y) in shares of it, and what looks like them in a legend
UP, DOWN, LEVEL = ((0.1, 0.1), (0.9, 0.9)), ((0.1, 0.9), (0.9, 0.1)), ((0.2, 0.5), (0.8, 0.5))
SMALL_CROSS = ((0.4, 0.5), (0.6, 0.5)), ((0.5, 0.4), (0.5, 0.6))
HATCHES = {
    "diverged": ((UP, DOWN), "x-thin-open"),
    "some seeds diverged": ((UP,), "line-ne-open"),
    "collapsed seeds": ((LEVEL,), "line-ew-open"),
    "some seeds missing": ((DOWN,), "line-nw-open"),
    "no result": (SMALL_CROSS, "cross-thin-open"),
}


def heatmap_plotly(heatmap: Heatmap) -> dict[str, Any]:
    """Return the heat map of one task as a Plotly figure: `{data, layout}` of plain values, no NaN.

    One row of panels, an optimizer each, on shared colours (bright is better): the cells of a grid, or the points of a
    random, Sobol or TPE search. Those within the tolerance of the reference are outlined, the best one bears a star,
    diverged and collapsed cells are hatched, such points are marked. A cell's or point's customdata are its
    hyperparameters as `name=value`, and the meta of its trace tells task and optimizer: what it takes to find its runs.
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
        for trace in _traces(panel, heatmap):
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


def _traces(panel: Panel, heatmap: Heatmap) -> Iterator[Any]:
    if not panel.mean.size:
        yield go.Scatter(x=[None], y=[None], hoverinfo="skip")  # without a trace Plotly stumbles over the panel's frame
        return
    told = {
        "hovertemplate": "%{text}<extra></extra>",
        "text": _hover(panel, heatmap.metric_title),
        "customdata": _places(panel),
        "meta": {"task": heatmap.task, "optimizer": panel.optimizer},
    }
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
    collapsed = np.asarray(panel.n_collapsed > 0)
    marks = panel.all_diverged, panel.some_diverged, collapsed, panel.some_missing, panel.no_result
    for (name, symbol), mask in zip(SYMBOLS.items(), marks, strict=True):
        if mask.any() and panel.is_grid:
            yield from _hatch(panel, mask, name)
        elif mask.any():
            size = DOT * panel.dot_scale / 2  # the colour of a point is seen around its mark
            marker = {"symbol": symbol, "size": size, "color": INK if "open" in symbol else PAPER}
            yield _markers(panel, mask, name, {**marker, "line": {"color": INK, "width": 1}})
    if panel.best.any():
        star = {"symbol": "star", "size": 14, "color": PAPER, "line": {"color": INK, "width": 1.5}}
        yield _markers(panel, panel.best, "best", star)


def _hatch(panel: Panel, mask: BoolArray, name: str) -> Iterator[Any]:
    """Yield the hatches of some cells, all in one line: a browser is slow with thousands of marks."""
    segments: list[Segment] = []
    rows, columns = np.nonzero(mask)
    strokes, symbol = HATCHES[name]
    for start, end in strokes:
        xs, ys = (_between(panel.x, columns, (start[0], end[0])), _between(panel.y, rows, (start[1], end[1])))
        segments += [((x, y), (to_x, to_y)) for x, y, to_x, to_y in zip(xs[0], ys[0], xs[1], ys[1], strict=True)]
    scale = max(min(1.0, HATCHED_FROM / max(mask.shape)), THINNEST)
    for colour, width in ((PAPER, 3.0), (INK, 1.25)):
        yield _strokes(segments, colour, width * scale, None).update(legendgroup=name)
    marker = {"symbol": symbol, "size": 9, "color": INK, "line": {"color": INK, "width": 1.5}}
    yield go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, legendgroup=name)


def _between(axis: FigureAxis, places: IntArray, shares: tuple[float, float]) -> list[list[float]]:
    """Return values at two shares of some cells along an axis, on its scale."""
    edges = np.log(axis.edges) if axis.is_log else axis.edges
    low, high = edges[places], edges[places + 1]
    found = [low + share * (high - low) for share in shares]
    return [(np.exp(one) if axis.is_log else one).tolist() for one in found]


def _outline(panel: Panel, colour: str, width: float, name: str | None) -> Any:
    if not panel.is_grid:
        marker = {"symbol": "circle-open", "size": DOT * panel.dot_scale, "color": colour}
        return _markers(panel, panel.good, name, {**marker, "line": {"width": width * panel.dot_scale}})
    return _strokes(panel.outline(), colour, width, name)


def _strokes(segments: Sequence[Segment], colour: str, width: float, name: str | None) -> Any:
    points: list[tuple[float | None, float | None]] = []
    for start, end in segments:
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
        texts[place] = "<br>".join([*parts, *_by_seed(panel, panel.point(place))])
    return list(texts.tolist())


def _by_seed(panel: Panel, point: Mapping[str, Any]) -> list[str]:
    """Return lines of the seeds: of each its score, and how it ended where that was not well."""
    told = []
    for seed, score, status in zip(panel.seeds, point["per_seed"], point["status_per_seed"], strict=True):
        words = ([] if score is None else [f"{score:.4g}"]) + ([] if status == "completed" else [status])
        told.append(f"seed {seed}: {', '.join(words).replace('_', ' ')}")
    more = len(told) - MAX_TOLD_SEEDS
    step = 1 if len(told) <= MAX_LINES else SEEDS_A_LINE
    lines = [" · ".join(told[start : start + step]) for start in range(0, min(len(told), MAX_TOLD_SEEDS), step)]
    return [*lines, f"and {more} seeds more"] if more > 0 else lines


def _places(panel: Panel) -> list[Any]:
    """Return the hyperparameters of each configuration as `name=value`, as exact as they are."""
    places = np.empty(panel.points.shape, dtype=np.object_)
    for place in np.ndindex(places.shape):
        hyperparameters = panel.point(place)["hyperparameters"]
        places[place] = [f"{name}={json.dumps(value)}" for name, value in hyperparameters.items()]
    return list(places.tolist())


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
