"""How robust an optimizer is to its hyperparameters: measures, intervals, the table and its renderings."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from benchmark.robustness.build import robustness_table
    from benchmark.robustness.choices import HeldEqual, View
    from benchmark.robustness.comparison import Difference, paired_difference
    from benchmark.robustness.curves import TuningCurve, tuning_curves
    from benchmark.robustness.inference import infer_grids
    from benchmark.robustness.marginal import Drop, Slice, slices
    from benchmark.robustness.registry import MeasureInfo, measures
    from benchmark.robustness.rendering import (
        render_csv,
        render_html,
        render_json,
        render_latex,
        render_markdown,
        render_parquet,
        render_rich,
    )
    from benchmark.robustness.rows import Measure, Row
    from benchmark.robustness.scoring import AxisInfo, GridInfo, TaskScoring
    from benchmark.robustness.table import Reading, RobustnessTable
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "AxisInfo",
    "Difference",
    "Drop",
    "GridInfo",
    "HeldEqual",
    "Measure",
    "MeasureInfo",
    "Reading",
    "RobustnessTable",
    "Row",
    "Slice",
    "TaskScoring",
    "TuningCurve",
    "View",
    "infer_grids",
    "measures",
    "paired_difference",
    "render_csv",
    "render_html",
    "render_json",
    "render_latex",
    "render_markdown",
    "render_parquet",
    "render_rich",
    "robustness_table",
    "slices",
    "tuning_curves",
]
