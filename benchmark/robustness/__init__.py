"""How robust an optimizer is to its hyperparameters: measures, intervals, the table and its renderings."""

from benchmark.robustness.build import robustness_table
from benchmark.robustness.comparison import Difference, paired_difference
from benchmark.robustness.inference import infer_grids
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
from benchmark.robustness.table import RobustnessTable

__all__ = [
    "AxisInfo",
    "Difference",
    "GridInfo",
    "Measure",
    "MeasureInfo",
    "RobustnessTable",
    "Row",
    "TaskScoring",
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
]
