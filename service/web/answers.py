"""The answers on results as models, for the OpenAPI document alone: what is sent is not validated on its way out.

Where a document is a record of `benchmark` field by field, the record itself describes it. The models here are of those
that are written out in another shape; a test holds all of them against what the server sends.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from benchmark.records import Scalar
from benchmark.robustness import AxisInfo, Difference, Measure, Reading, Slice, TuningCurve, View
from benchmark.robustness.choices import Goal
from benchmark.robustness.ranks import Rank
from benchmark.robustness.rows import End, RowGrid
from benchmark.robustness.scoring import Design
from benchmark.robustness.table import AcrossTasks, Missing
from benchmark.robustness.wins import Wins


class BorderShape(BaseModel):
    """An end of an axis on which the best configuration lies: the grid should go on there."""

    axis: str
    end: End
    values: list[Scalar] = Field(description="the next ones in the spacing of the axis; none where none is beyond")
    spacing: str = Field(description="same ratio, same step, or halves")
    space: dict[str, Any] = Field(description="the axis with these values, as a spec has it")
    advice: str = Field(description="what to do, for people")


class BestPointShape(BaseModel):
    """The configuration with the best validation mean."""

    hyperparameters: dict[str, Scalar]
    borders: list[BorderShape] = Field(description="on which it lies")


class RowShape(BaseModel):
    """What the table says of one optimizer on one task."""

    task: str
    optimizer: str
    ranked: bool = Field(description="whether it can be compared with the others: complete, and on the common grid")
    rank: Rank | None
    grid: RowGrid
    best: BestPointShape | None = Field(description="null where no configuration is complete")
    measures: dict[str, Measure] = Field(description="by name, as /measures defines them")


class TaskSummaryShape(BaseModel):
    """How the rows of one task were scored."""

    task: str
    metric: str
    goal: Goal
    tolerance: float = Field(description="in raw units; scores within it of the reference count as good")
    floor: float = Field(description="what a diverged run scores, in raw units")
    y_ref: float | None = Field(description="the reference, in raw units; null where no configuration is complete")
    y_ref_given: bool = Field(description="whether the reference is not the best of this table")
    n_seeds: int
    has_split: bool = Field(description="whether one score picks and another reports")
    grid: list[AxisInfo] | None = Field(description="that most optimizers share; null where there is none")
    design: Design
    n_configurations: int | None


class CaptionShape(BaseModel):
    """What must stand beside the numbers of one task so that they stand alone, for people."""

    task: str
    caption: list[str] = Field(description="sentences: seeds, grid, scale, failures, how intervals were made")
    notes: list[str] = Field(description="what is particular: unranked, on a border, undefined, incomplete")


class RobustnessTableShape(BaseModel):
    """How robust each optimizer is to its hyperparameters on each task."""

    complete: bool = Field(description="whether every planned cell has a result")
    missing: Missing
    fingerprints: list[str]
    mixed: bool = Field(description="whether runs were made under fingerprints that differ")
    view: View = Field(description="what is held equal between optimizers")
    readings: list[Reading] = Field(description="where each optimizer was read, where the view was read off curves")
    tasks: list[TaskSummaryShape]
    rows: list[RowShape] = Field(description="task by task; first those that are ranked, best grid mean first")
    differences: list[Difference] = Field(description="of all pairs of ranked rows of a task, paired by seed")
    wins: list[Wins]
    across_tasks: list[AcrossTasks]
    notes: dict[str, list[str]] = Field(description="sentences by task on how its runs were made and put together")
    captions: list[CaptionShape] = Field(description="the same for people, as it stands under the table as text")
    failures: str = Field(description="how failed runs are counted")
    version: str = Field(description="of the package, whose definitions of the measures hold")


class SurfacePointShape(BaseModel):
    """One configuration of a surface, over its seeds."""

    hyperparameters: dict[str, Scalar]
    mean: float | None = Field(description="over the seeds that have a result")
    sd: float | None = Field(description="null under two results")
    per_seed: list[float | None] = Field(description="in the order of the surface's seeds; null where one is missing")
    status_per_seed: list[str] = Field(
        description="how each run ended: completed, collapsed (completed, and learned nothing), diverged, timed_out, "
        "failed, missing"
    )
    n_diverged: int
    n_collapsed: int
    n_missing: int


class SurfaceShape(BaseModel):
    """The scores of one optimizer on one task over its hyperparameters, in raw units."""

    task: str
    optimizer: str
    metric: str
    goal: Goal
    split: Literal["validation", "test"] | None = Field(description="null for a task without split")
    seeds: list[int]
    design: Design
    axes: list[AxisInfo]
    points: list[SurfacePointShape]


class Surfaces(BaseModel):
    """The response surfaces of a job."""

    surfaces: list[SurfaceShape]


class Slices(BaseModel):
    """The slices of a job."""

    slices: list[Slice]


class TuningCurves(BaseModel):
    """The tuning curves of a job."""

    curves: list[TuningCurve]


class PlotlyFigure(BaseModel):
    """A figure as Plotly takes it."""

    data: list[dict[str, Any]] = Field(description="traces")
    layout: dict[str, Any]
