"""Tuning curves as a figure of lines, a panel a task."""

from collections.abc import Sequence

import numpy as np

from benchmark.errors import TableError
from benchmark.figures.lines import Line, LineFigure, LinePanel, bands_note
from benchmark.figures.styles import numbered
from benchmark.robustness.curves import TuningCurve
from benchmark.robustness.marginal import Numbers
from benchmark.robustness.scoring import FloatArray, TaskScoring


def prepare_tuning(curves: Sequence[TuningCurve], scorings: Sequence[TaskScoring], rows: str = "") -> LineFigure:
    """Return what to draw of tuning curves: the expected score of the best of k trials over k, a line an optimizer.

    Args:
        curves: of one or several tasks.
        scorings: how each task is scored.
        rows: what is to be said of single lines.

    Raises:
        TableError: where there is no curve.
    """
    if not curves:
        raise TableError(
            "a tuning curve needs a complete configuration of a search that is not adaptive, but no optimizer has one."
        )
    metrics = {scoring.task: scoring.metric for scoring in scorings}
    styles = numbered(one.optimizer for one in curves)
    panels = tuple(
        LinePanel(
            title=task,
            x_title="trials k",
            y_title=f"expected best {metrics[task]}",
            lines=tuple(_line(one, styles[one.optimizer]) for one in curves if one.task == task),
            is_log=True,
        )
        for task in dict.fromkeys(one.task for one in curves)
    )
    bands = bands_note(None if one.level is None or one.method is None else (one.level, one.method) for one in curves)
    note = " ".join(filter(None, ("Picked by validation.", bands, rows)))
    return LineFigure("What tuning with k random trials gives", panels, note)


def _line(one: TuningCurve, style: int) -> Line:
    low, high = (_numbers(end) for end in (one.low, one.high))
    return Line(one.optimizer, style, np.array(one.trials, dtype=np.float64), np.array(one.value), low, high)


def _numbers(values: Numbers | None) -> FloatArray | None:
    return None if values is None else np.array([np.nan if value is None else value for value in values])
