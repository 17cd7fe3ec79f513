"""What a figure of sharpness against score shows, prepared once: a panel a measure, a cloud an optimizer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.figures.axes import LOG_FROM
from benchmark.figures.data import rows_of_task
from benchmark.robustness.scoring import BoolArray, FloatArray, TaskScoring
from benchmark.sharpness import ASCENT_RHO, COLUMNS

MIN_CELLS = 4  # of a rank correlation; three are in order by chance every third time
TITLES = {
    "lambda_max": "largest eigenvalue of the Hessian",
    "trace": "trace of the Hessian",
    "sam": f"SAM sharpness, \N{GREEK SMALL LETTER RHO} {ASCENT_RHO['sam']:g}",
    "monge": f"Monge sharpness, \N{GREEK SMALL LETTER RHO} {ASCENT_RHO['monge']:g}",
    "adaptive": f"adaptive sharpness, \N{GREEK SMALL LETTER RHO} {ASCENT_RHO['adaptive']:g}",
}
NOTE = (
    "A point is a completed run; an open one learned nothing. \N{GREEK SMALL LETTER TAU}: Kendall's rank correlation "
    "(tau-b) of sharpness and score over the runs of an optimizer. Sharpness is a diagnostic: Andriushchenko et al. "
    "(2023, arXiv 2302.07011) find little correlation with generalisation, and a learning rate moves both."
)


@dataclass(frozen=True, eq=False)
class Cloud:
    """The completed runs of one optimizer; all arrays have the same length.

    Attributes:
        optimizer: its label.
        style: number of its look, the same in every panel.
        x: sharpness.
        y: test score.
        collapsed: which runs learned nothing.
        tau: Kendall's rank correlation of x and y; None for fewer than four runs, or where either is constant.
    """

    optimizer: str
    style: int
    x: FloatArray
    y: FloatArray
    collapsed: BoolArray
    tau: float | None

    @property
    def label(self) -> str:
        """What the legend says: the optimizer, its rank correlation, and of how many runs."""
        tau = "none" if self.tau is None else f"{self.tau:+.2f}".replace("-", "\N{MINUS SIGN}")
        return f"{self.optimizer}: \N{GREEK SMALL LETTER TAU} {tau} (n = {len(self.x)})"


@dataclass(frozen=True, eq=False)
class SharpnessPanel:
    """One measure.

    Attributes:
        title: what the measure is, beside its axis.
        clouds: one an optimizer that has runs with this measure.
        is_log: whether its axis is logarithmic.
    """

    title: str
    clouds: tuple[Cloud, ...]
    is_log: bool


@dataclass(frozen=True, eq=False)
class SharpnessFigure:
    """All measures of one task."""

    title: str
    y_title: str
    panels: tuple[SharpnessPanel, ...]
    note: str = NOTE


def prepare_sharpness(frame: pd.DataFrame, scoring: TaskScoring) -> SharpnessFigure:
    """Return what to draw of one task.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns, and `benchmark.sharpness.COLUMNS` those
            of the measures. Runs of other tasks, and those that did not complete, are left out.
        scoring: how the task is scored.

    Raises:
        TableError: where the frame has no score, or no completed run of the task with a measure of sharpness.
    """
    own = rows_of_task(frame, scoring.task)
    score = next((name for name in (f"test_{scoring.metric}", scoring.metric) if name in own), None)
    if score is None:
        raise TableError(f"the frame must have a column test_{scoring.metric} or {scoring.metric}.")
    optimizers = list(dict.fromkeys(own["optimizer"]))
    completed = own[own["status"] == "completed"] if "status" in own else own
    panels = [_panel(completed, measure, score, optimizers) for measure, names in COLUMNS.items() if names[0] in own]
    panels = [panel for panel in panels if panel.clouds]
    if not panels:
        raise TableError(
            f"sharpness against score needs a completed run with a measure of sharpness, but {scoring.task} has none; "
            "ask for it in a spec: `sharpness: [lambda_max]`."
        )
    y_title = f"{'test ' if score != scoring.metric else ''}{scoring.metric}"
    return SharpnessFigure(f"{scoring.task}: {y_title} against sharpness", y_title, tuple(panels))


def _panel(runs: pd.DataFrame, measure: str, score: str, optimizers: list[str]) -> SharpnessPanel:
    column = COLUMNS[measure][0]
    clouds = []
    for style, optimizer in enumerate(optimizers):
        own = runs[(runs["optimizer"] == optimizer) & np.isfinite(runs[column]) & np.isfinite(runs[score])]
        if own.empty:
            continue
        own = own.assign(collapsed=own.get("collapsed", False))
        own = own.sort_values("collapsed", kind="stable")  # a legend of Plotly's looks like the first point
        x, y = (own[name].to_numpy(dtype=np.float64) for name in (column, score))
        clouds.append(Cloud(optimizer, style, x, y, own["collapsed"].to_numpy(dtype=np.bool_), rank_correlation(x, y)))
    every = np.concatenate([cloud.x for cloud in clouds]) if clouds else np.zeros(1)
    return SharpnessPanel(
        TITLES[measure], tuple(clouds), bool(every.min() > 0 and every.max() >= LOG_FROM * every.min())
    )


def rank_correlation(x: FloatArray, y: FloatArray) -> float | None:
    """Return Kendall's tau-b of paired values, None for fewer than four pairs, or where either is constant."""
    if len(x) < MIN_CELLS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy.stats import kendalltau  # takes a second, and few processes draw this

    return float(kendalltau(x, y).statistic)
