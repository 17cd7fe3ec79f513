"""Trajectories on landscapes for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.matplotlib_image import INK, PAPER
from benchmark.figures.plotly_page import document_of
from benchmark.figures.styles import style_of
from benchmark.figures.trajectories import Group, Run, Trajectories, TrajectoryPanel
from benchmark.robustness.scoring import FloatArray

REACH = 1.0  # views beyond the view; a line is cut there
MAX_POINTS = 400  # of a line; one of more is thinned, for a browser draws every point of every run
GREYS, LINES = ((0.0, "#ffffff"), (1.0, "#c4c4c4")), "#a8a8a8"


def trajectories_plotly(shown: Trajectories) -> dict[str, Any]:
    """Return the trajectories on one landscape as a Plotly figure: `{data, layout}` of plain values, no NaN.

    An open circle is a start, a filled mark an end, a cross the last point of a run that diverged.
    """
    n_rows, n_columns = (max(getattr(panel, side) for panel in shown.panels) + 1 for side in ("row", "column"))
    titles = {(panel.row, panel.column): html.escape(panel.title) for panel in shown.panels}
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        specs=[[{} if (row, column) in titles else None for column in range(n_columns)] for row in range(n_rows)],
        subplot_titles=[titles[place] for place in sorted(titles)],
        horizontal_spacing=0.2 / max(n_columns, 4),
        vertical_spacing=0.4 / max(n_rows, 4),
    )
    named: set[str] = set()
    ground = _ground(shown)
    leftmost = {panel.row: panel.column for panel in reversed(shown.panels)}
    lowest = {panel.column: panel.row for panel in shown.panels}
    for panel in shown.panels:
        place = {"row": panel.row + 1, "col": panel.column + 1}
        figure.add_trace(go.Figure(ground).data[0], **place)
        for trace in _traces(shown, panel):
            trace.showlegend = trace.name not in named
            named.add(trace.name)
            figure.add_trace(trace, **place)
        axis: dict[str, Any] = {
            "showgrid": False,
            "zeroline": False,
            "showline": True,
            "linecolor": INK,
            "mirror": True,
        }
        axis |= {"ticks": "outside", "constrain": "domain"}
        is_first, is_last = panel.column == leftmost[panel.row], panel.row == lowest[panel.column]
        title = "theta_0" if is_last else ""
        figure.update_xaxes(title={"text": title}, range=[shown.low[0], shown.high[0]], **axis, **place)
        if shown.is_plane:
            across = figure.get_subplot(**place).xaxis.plotly_name.replace("axis", "")
            axis |= {"range": [shown.low[1], shown.high[1]], "scaleanchor": across}
        title = "theta_1" if shown.is_plane else "loss"
        figure.update_yaxes(title={"text": title if is_first else ""}, **axis, **place)
    return document_of(
        figure,
        shown.task,
        height=330 * n_rows + 120,
        margin={"l": 70, "r": 20, "t": 80, "b": 90},
        legend={"orientation": "h", "y": -0.2 / n_rows, "x": 0.0},
    )


def _ground(shown: Trajectories) -> Any:
    if not shown.is_plane:
        x, heights = shown.profile()
        look = {"line": {"color": LINES, "width": 2}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        return go.Scatter(x=x.tolist(), y=_plain(heights), **look)
    x, y, heights = shown.ground()
    # Plotly's contours are evenly spaced in what it is given: the number of the level below keeps ours.
    levels = shown.levels(heights)
    ranks = np.interp(heights, levels, np.arange(len(levels)))
    return go.Contour(
        x=x.tolist(),
        y=y.tolist(),
        z=np.round(ranks, 3).tolist(),
        contours={"start": 1, "end": len(levels) - 2, "size": 1, "coloring": "fill"},
        colorscale=[list(stop) for stop in GREYS],
        line={"color": LINES, "width": 0.5},
        showscale=False,
        hoverinfo="skip",
    )


def _traces(shown: Trajectories, panel: TrajectoryPanel) -> Iterator[Any]:
    for group in panel.groups:
        style = style_of(group.style)
        name = html.escape(group.title or "runs")
        yield go.Scatter(
            **_line_of(shown, group),
            mode="lines",
            line={"color": style.colour, "dash": style.dash if group.title else "solid", "width": 1.5},
            name=name,
            legendgroup=name,
            hoverinfo="skip",
        )
        ended = [run for run in group.runs if not run.has_diverged]
        diverged = [run for run in group.runs if run.has_diverged]
        end: dict[str, Any] = {"symbol": "square", "color": INK}
        if group.title:
            end = {"symbol": style.symbol, "color": style.colour}
        for runs, last, label, marker in (
            (group.runs, False, "start", {"symbol": "circle", "color": PAPER, "line": {"color": INK, "width": 1}}),
            (ended, True, name if group.title else "end", {**end, "line": {"color": PAPER, "width": 0.5}}),
            (diverged, True, "diverged", {"symbol": "x", "color": INK}),
        ):
            if runs:
                yield _marks(shown, runs, label, {**marker, "size": 7}, last=last)


def _line_of(shown: Trajectories, group: Group) -> dict[str, Any]:
    """Return all runs of a group as one line with gaps: a browser is slow with very many traces."""
    x: list[float | None] = []
    y: list[float | None] = []
    for run in group.runs:
        step = -(-len(run.points) // MAX_POINTS)
        kept = run.points[np.unique(np.append(np.arange(0, len(run.points), step), len(run.points) - 1))]
        along, up = shown.places(kept, reach=REACH)
        x += [*_plain(along), None]
        y += [*_plain(up), None]
    return {"x": x, "y": y}


def _marks(shown: Trajectories, runs: Sequence[Run], label: str, marker: dict[str, Any], *, last: bool) -> Any:
    x, y = shown.places(np.array([run.points[-1 if last else 0] for run in runs]))
    texts = [f"{label}, seed {run.seed}" for run in runs]
    told = {"text": texts, "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>"}
    return go.Scatter(x=_plain(x), y=_plain(y), mode="markers", marker=marker, name=label, **told)


def _plain(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
