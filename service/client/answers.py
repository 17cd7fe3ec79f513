"""What the server answers, as records: of a newer server, what is not known here is left out."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark import Cost, Diagnostics, Status
from benchmark.records import Scalar
from service.client.display import html_table
from service.client.errors import ProblemError
from service.states import Action, JobState, Request

if TYPE_CHECKING:
    import pandas as pd


def _with_nan(curve: object) -> object:
    """Return a curve whose missing values are NaN, and an empty one for none."""
    if not isinstance(curve, dict):
        return curve or {}
    return {name: [math.nan if value is None else value for value in series] for name, series in curve.items()}


Curve = Annotated[dict[str, tuple[float, ...]], BeforeValidator(_with_nan)]


class Answer(BaseModel):
    """A record that cannot be changed."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, document: object) -> Self:
        """Return the record that a document stands for; raises ProblemError where it lacks what is needed."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = "/" + "/".join(str(part) for part in first["loc"])
            detail = f"the answer does not fit this client, at {where}: {first['msg']}. Are both of one version?"
            raise ProblemError(200, detail) from error


class InFlight(Answer):
    """Cells that are being trained one after another and take longer than a moment.

    Attributes:
        cells: how many.
        done: the sum of the shares of their steps that are done: so many cells' worth.
        furthest: the largest of these shares.
    """

    cells: int
    done: float
    furthest: float


class Progress(Answer):
    """How far a job is, counted in cells.

    Attributes:
        total: cells of the job.
        reused: of those with a record, how many were taken over from other jobs.
        completed: trained to the end; `collapsed` of them learned nothing.
        diverged: whose loss was not finite: a result too.
        timed_out: that took too long.
        failed: that could not be trained.
        collapsed: see `completed`.
        cells_per_s: of those that this job trained itself; None until there are two.
        eta_s: seconds to the end at that rate, while it runs.
        in_flight: how far cells in flight are; None where none takes longer than a moment.
    """

    total: int
    reused: int
    completed: int
    diverged: int
    timed_out: int
    failed: int
    collapsed: int
    cells_per_s: float | None
    eta_s: float | None
    in_flight: InFlight | None = None

    @property
    def n_done(self) -> int:
        """Number of cells with a record."""
        return self.completed + self.diverged + self.timed_out + self.failed


class Owner(Answer):
    """The dispatcher that runs a job; ages are by the database's clock.

    Attributes:
        id: of the dispatcher.
        host: where it runs.
        heartbeat_age_s: seconds since it last reported; None for a run in the foreground.
        lease_left_s: seconds until another one may take over; negative once it may.
    """

    id: str
    host: str
    heartbeat_age_s: float | None
    lease_left_s: float


class MissingCell(Answer):
    """A cell that was tried without a result."""

    task: str | None
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    status: Status
    error: str | None


class Missing(Answer):
    """How many cells have no result: never tried, failed or timed out; and the first few of those tried."""

    total: int
    untried: int
    failed: int
    timed_out: int
    first: tuple[MissingCell, ...]


class JobAnswer(Answer):
    """A job as the server tells it, in a list too."""

    id: str
    name: str
    state: JobState
    requested: Request | None
    tags: tuple[str, ...]
    priority: int
    attempt: int
    crashes: int
    revision: int
    fingerprints: tuple[str, ...]
    execution: dict[str, dict[str, str]]
    rerun_of: str | None = None
    actions: tuple[Action, ...] = ()
    submitted_by: str
    created_at: datetime
    started_at: datetime | None
    first_record_at: datetime | None
    finished_at: datetime | None
    error: str | None
    progress: Progress


class JobDetails(Answer):
    """What the server tells beside that of a job that is asked for alone."""

    owner: Owner | None
    max_crashes: int
    retried_after: int
    missing: Missing
    spec: dict[str, Any]


class JobRecord(Answer):
    """The outcome of one training of a cell, with the labels that the job gives it.

    Attributes:
        id: of the record.
        config_key: hash of configuration and seed; pairs cells between jobs.
        fingerprint: hash of what trained it.
        task: label of the task in the job.
        optimizer: label of the optimizer in the job.
        hyperparameters: all of the rule and its base.
        seed: of all randomness.
        status: how it ended.
        collapsed: whether a completed run learned nothing.
        diverged_at_step: of a diverged run, the first step that was not finite.
        error: what went wrong.
        metrics: final values by name; empty unless completed.
        curve: series by name, `step` among them; empty where it was not asked for. What was not finite is NaN.
        cost: what it took.
        diagnostics: medians over the steps.
        reused: whether it was taken over from another job; None where it is asked for outside of a job.
    """

    id: str
    config_key: str
    fingerprint: str
    task: str | None
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    status: Status
    collapsed: bool
    diverged_at_step: int | None
    error: str | None
    metrics: dict[str, float]
    curve: Curve
    cost: Cost
    diagnostics: Diagnostics
    reused: bool | None


class GridPlan(Answer):
    """What one optimizer on one task takes; `wave` is 2 of a control, which waits for those that give its radius."""

    task: str
    optimizer: str
    configurations: int
    cells: int
    gradient_evaluations: int
    wave: int


class Plan(Answer):
    """The price of a spec. What is not known yet is None, and `reason` says why."""

    cells: int
    gradient_evaluations: int
    grids: tuple[GridPlan, ...]
    reused: int | None
    packs: int | None
    execution: dict[str, dict[str, str]] | None
    estimated_s: float | None
    reason: str | None

    @property
    def facts(self) -> str:
        """The whole price in a line."""
        parts = [f"{self.cells:,} cells", f"{self.gradient_evaluations:,} gradient evaluations"]
        later = sum(grid.cells for grid in self.grids if grid.wave == 2)
        parts += [f"{later:,} cells in a second wave"] if later else []
        counts = (("reused", self.reused), ("packs", self.packs))
        parts += [f"{count:,} {name}" for name, count in counts if count is not None]
        parts += [] if self.estimated_s is None else [f"about {self.estimated_s:,.0f} s"]
        return ", ".join(parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what a row shows of an optimizer and task."""
        return *GridPlan.model_fields, "execution"

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """One row an optimizer and task."""
        return [(*grid.model_dump().values(), self.execution_of(grid)) for grid in self.grids]

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row an optimizer and task."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.columns))

    def execution_of(self, grid: GridPlan) -> str | None:
        """Return how the cells of a grid would be trained, as far as that is known."""
        return (self.execution or {}).get(grid.task, {}).get(grid.optimizer)

    def _repr_html_(self) -> str:
        """Return the plan for a notebook."""
        notes = [self.facts, *([f"not known: {self.reason}"] if self.reason else [])]
        return html_table(self.columns, self.rows, notes=notes)
