"""Sharpness against score for web pages: a Plotly figure as plain values that JSON can hold."""

import html
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmark.figures.matplotlib_image import INK, PAPER
from benchmark.figures.plotly_page import add_note, document_of
from benchmark.figures.sharpness import SharpnessFigure
from benchmark.figures.styles import style_of

MAX_COLUMNS = 3
PANEL_PIXELS, LINE_PIXELS = 260, 20


def sharpness_plotly(shown: SharpnessFigure) -> dict[str, Any]:
    """Return sharpness against test score as a Plotly figure: `{data, layout}` of plain values, no NaN."""
    n_columns = min(MAX_COLUMNS, len(shown.panels))
    n_rows = math.ceil(len(shown.panels) / n_columns)
    below = 60 + LINE_PIXELS * max(len(panel.clouds) for panel in shown.panels)  # axis title and legend of a panel
    height = n_rows * (PANEL_PIXELS + below)
    figure = make_subplots(
        rows=n_rows, cols=n_columns, shared_yaxes="all", horizontal_spacing=0.06, vertical_spacing=below / height
    )
    legends: dict[str, Any] = {}
    for place, panel in enumerate(shown.panels):
        row, column = divmod(place, n_columns)
        cell = {"row": row + 1, "col": column + 1}
        legend = f"legend{place + 1 if place else ''}"
        for cloud in panel.clouds:
            style = style_of(cloud.style)
            faces = np.where(cloud.collapsed, PAPER, style.colour).tolist()
            marker = {"symbol": style.symbol, "size": 7, "color": faces, "line": {"color": style.colour, "width": 1}}
            figure.add_trace(
                go.Scatter(
                    x=cloud.x.tolist(),
                    y=cloud.y.tolist(),
                    mode="markers",
                    marker=marker,
                    opacity=0.75,
                    name=html.escape(cloud.label),
                    legend=legend,
                ),
                **cell,
            )
        line = {"showline": True, "linecolor": INK, "zeroline": False, "showgrid": False, "ticks": "outside"}
        kind = "log" if panel.is_log else "linear"
        figure.update_xaxes(title={"text": html.escape(panel.title)}, type=kind, **line, **cell)
        figure.update_yaxes(title={"text": html.escape(shown.y_title) if column == 0 else ""}, **line, **cell)
        x, y = (figure.get_subplot(row + 1, column + 1)[axis].domain for axis in (0, 1))
        legends[legend] = {"x": x[0], "y": y[0] - 45 / height, "xanchor": "left", "yanchor": "top"}
    add_note(figure, shown.note, y=-(below + 10) / height)
    return document_of(
        figure,
        shown.title,
        height=height + below + 150,
        margin={"l": 70, "r": 20, "t": 60, "b": below + 90},
        showlegend=True,
        **legends,
    )
