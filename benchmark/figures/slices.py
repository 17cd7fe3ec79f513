"""Slices through the best configurations as a figure of lines, a panel a hyperparameter."""

from collections.abc import Sequence

import numpy as np

from benchmark.errors import TableError
from benchmark.figures.axes import LOG_FROM, TITLES
from benchmark.figures.lines import Line, LineFigure, LinePanel, bands_note
from benchmark.figures.styles import numbered
from benchmark.robustness.marginal import Numbers, Slice
from benchmark.robustness.scoring import FloatArray, TaskScoring


def prepare_slices(slices: Sequence[Slice], scorings: Sequence[TaskScoring], rows: str = "") -> LineFigure:
    """Return what to draw of slices: the score along each hyperparameter, all optimizers of a task on shared axes.

    Args:
        slices: of one or several tasks.
        scorings: how each task is scored.
        rows: what is to be said of single lines.

    Raises:
        TableError: where there is no slice.
    """
    if not slices:
        raise TableError(
            "a figure of slices needs an optimizer on a full grid with a complete configuration and a swept "
            "hyperparameter, but there is none."
        )
    metrics = {scoring.task: scoring.metric for scoring in scorings}
    styles = numbered(one.optimizer for one in slices)
    tasks = list(dict.fromkeys(one.task for one in slices))
    panels = tuple(
        _panel(
            [one for one in slices if (one.task, one.axis) == place],
            metrics[place[0]],
            styles,
            place[0] if len(tasks) > 1 else "",
        )
        for place in dict.fromkeys((one.task, one.axis) for one in slices)
    )
    title = f"{tasks[0]}: slices" if len(tasks) == 1 else "Slices"
    note = " ".join(filter(None, (_note(slices, tasks), rows)))
    return LineFigure(f"{title} through the best configuration of each optimizer", panels, note)


def _panel(slices: Sequence[Slice], metric: str, styles: dict[str, int], title: str) -> LinePanel:
    values = np.concatenate([one.values for one in slices])
    return LinePanel(
        title=title,
        x_title=TITLES.get(slices[0].axis, slices[0].axis),
        y_title=metric,
        lines=tuple(_line(one, styles[one.optimizer]) for one in slices),
        is_log=bool(values.min() > 0 and values.max() >= LOG_FROM * values.min()),
    )


def _line(one: Slice, style: int) -> Line:
    mean, low, high = map(_numbers, (one.mean, one.low, one.high))
    return Line(one.optimizer, style, np.array(one.values), mean, low, high, has_points=one.best is not None)


def _numbers(values: Numbers) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values])


def _note(slices: Sequence[Slice], tasks: Sequence[str]) -> str:
    best: dict[tuple[str, str], dict[str, float]] = {}
    for one in slices:
        own = best.setdefault((one.task, one.optimizer), {})
        own.update({name: value for name, value in ((one.axis, one.best), *one.others.items()) if value is not None})
    texts = [
        f"{optimizer}{f' on {task}' if len(tasks) > 1 else ''} {', '.join(f'{n} {v:.3g}' for n, v in own.items())}"
        for (task, optimizer), own in best.items()
    ]
    bands = bands_note(None if one.level is None or one.method is None else (one.level, one.method) for one in slices)
    return f"Through the best by validation: {'; '.join(texts)}. {bands}"
