"""Figures of ranks for web pages: a Plotly figure as plain values that JSON can hold."""

import html
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.matplotlib_image import INK
from benchmark.figures.plotly_page import add_note, document_of
from benchmark.figures.ranks import RankedOptimizer, RanksFigure
from benchmark.figures.styles import style_of

ROW_PIXELS, ABOVE, BELOW = 44, 80, 110


def ranks_plotly(shown: RanksFigure) -> dict[str, Any]:
    """Return a figure of ranks as a Plotly figure: `{data, layout}` of plain values, no NaN."""
    titles = [html.escape(panel.title) for panel in shown.panels]
    figure = make_subplots(rows=1, cols=len(shown.panels), subplot_titles=titles, horizontal_spacing=0.12)
    axis = {"showline": True, "linecolor": INK, "zeroline": False, "showgrid": False, "ticks": "outside"}
    for column, panel in enumerate(shown.panels, start=1):
        n = len(panel.rows)
        for place, row in enumerate(panel.rows):
            figure.add_trace(_trace(place, row), row=1, col=column)
        labels = [html.escape(row.optimizer) for row in panel.rows]
        figure.update_xaxes(
            title={"text": "rank"}, range=[0.5, n + 0.5], tickvals=list(panel.ticks), **axis, row=1, col=column
        )
        ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": labels, "automargin": True}
        figure.update_yaxes(range=[n - 0.5, -0.5], **ticks, **axis, row=1, col=column)
    height = ABOVE + BELOW + ROW_PIXELS * shown.n_rows
    add_note(figure, shown.note, y=-70 / (height - ABOVE - BELOW))
    return document_of(
        figure, shown.title, height=height, margin={"l": 70, "r": 20, "t": ABOVE, "b": BELOW}, showlegend=False
    )


def _trace(place: int, row: RankedOptimizer) -> Any:
    style, rank = style_of(row.style), row.rank
    ends = f"{rank.low} to {rank.high} are not ruled out" if rank.low < rank.high else "every other is ruled out"
    return go.Scatter(
        x=[rank.value],
        y=[place],
        mode="markers",
        marker={"symbol": style.symbol, "size": 10, "color": style.colour},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [rank.high - rank.value],
            "arrayminus": [rank.value - rank.low],
            "color": style.colour,
            "thickness": 2,
            "width": 6,
        },
        name=html.escape(row.optimizer),
        text=[f"{html.escape(row.optimizer)}: rank {rank.value}<br>{ends}"],
        hovertemplate="%{text}<extra></extra>",
    )
