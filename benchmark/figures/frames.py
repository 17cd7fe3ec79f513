"""Figures as data frames: what is drawn, a row a cell, a point or a run, for whoever draws it otherwise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.figures.axes import FigureAxis
from benchmark.figures.difference import DifferenceMap, DifferencePanel
from benchmark.figures.heatmap import COUNTS, Heatmap, Panel
from benchmark.figures.lines import Line, LineFigure, LinePanel
from benchmark.figures.ranks import RanksFigure
from benchmark.figures.sharpness import SharpnessFigure
from benchmark.figures.trajectories import Run, Trajectories


def heatmap_frame(shown: Heatmap) -> pd.DataFrame:
    """Return a row a configuration that is drawn; a hyperparameter that its optimizer does not have is missing."""
    return _stacked([_of_panel(shown, panel) for panel in shown.panels])


def difference_frame(shown: DifferenceMap) -> pd.DataFrame:
    """Return a row a cell of each pair: the paired difference with its interval, missing where there is none."""
    return _stacked([_of_pair(shown, panel) for panel in shown.panels])


def lines_frame(shown: LineFigure) -> pd.DataFrame:
    """Return a row a point of each line; the columns `x_title` and `y_title` say what x and y are."""
    return _stacked([_of_line(panel, line) for panel in shown.panels for line in panel.lines])


def ranks_frame(shown: RanksFigure) -> pd.DataFrame:
    """Return a row an optimizer that has a rank on a task."""
    rows = [
        {"task": panel.title, "optimizer": row.optimizer, **row.rank.to_dict()}
        for panel in shown.panels
        for row in panel.rows
    ]
    return pd.DataFrame(rows).rename(columns={"value": "rank"})


def sharpness_frame(shown: SharpnessFigure) -> pd.DataFrame:
    """Return a row a completed run and measure."""
    return _stacked(
        [
            pd.DataFrame(
                {
                    "measure": panel.title,
                    "optimizer": cloud.optimizer,
                    "sharpness": cloud.x,
                    shown.y_title: cloud.y,
                    "collapsed": cloud.collapsed,
                }
            )
            for panel in shown.panels
            for cloud in panel.clouds
        ]
    )


def trajectories_frame(shown: Trajectories) -> pd.DataFrame:
    """Return a row a point of each run, the first its start."""
    return _stacked(
        [
            _of_run(shown, run, {"panel": panel.title, "configuration": group.title})
            for panel in shown.panels
            for group in panel.groups
            for run in group.runs
        ]
    )


def _of_panel(shown: Heatmap, panel: Panel) -> pd.DataFrame:
    columns: dict[str, Any] = {"task": shown.task, "optimizer": panel.optimizer}
    columns |= _along((panel.x, panel.y), (panel.xs, panel.ys))
    columns |= {name: values.ravel() for name, values in panel.further.items()}
    columns |= {shown.metric_title: panel.mean.ravel(), "n_seeds": panel.n_seeds}
    columns |= {name: getattr(panel, name).ravel() for name in COUNTS}
    return pd.DataFrame(columns | {"within_tolerance": panel.good.ravel(), "best": panel.best.ravel()})


def _of_pair(shown: DifferenceMap, panel: DifferencePanel) -> pd.DataFrame:
    ys, xs = np.meshgrid(shown.y.values, shown.x.values, indexing="ij")
    columns: dict[str, Any] = {"task": shown.task, "first": panel.first, "second": panel.second}
    columns |= _along((shown.x, shown.y), (xs, ys)) | {"metric": shown.metric_title, "difference": panel.mean.ravel()}
    return pd.DataFrame(columns | {"low": panel.low.ravel(), "high": panel.high.ravel()})


def _of_line(panel: LinePanel, line: Line) -> pd.DataFrame:
    columns: dict[str, Any] = {"panel": panel.title, "line": line.label, "x_title": panel.x_title, "x": line.x}
    columns |= {"y_title": panel.y_title, "y": line.y}
    return pd.DataFrame(columns | {"low": _or_nan(line.low), "high": _or_nan(line.high)})


def _of_run(shown: Trajectories, run: Run, place: Mapping[str, str]) -> pd.DataFrame:
    columns: dict[str, Any] = {"task": shown.task, **place, "seed": run.seed, "point": np.arange(len(run.points))}
    columns |= {f"theta_{index}": values for index, values in enumerate(run.points.T)}
    return pd.DataFrame(columns | {"loss": shown.heights(run.points), "diverged": run.has_diverged})


def _along(axes: tuple[FigureAxis, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """Return the values along the axes that there are, by the names of the hyperparameters."""
    return {axis.name: own.ravel() for axis, own in zip(axes, values, strict=True) if axis.exists and axis.name}


def _or_nan(values: Any) -> Any:
    return np.nan if values is None else values


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return frames one under the other, with the columns of all in the order in which they come."""
    return pd.concat(frames, ignore_index=True)
