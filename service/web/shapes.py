"""The JSON shapes of jobs and records: the one place that turns what is stored into what is sent."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Literal

from pydantic import BaseModel, Field

from benchmark.canonical import finite_or_none
from benchmark.records import Scalar
from service.jobs.dispatcher import host_of
from service.states import Action, JobState, Request
from service.store import Dispatcher, Job, Ownership, Progress, StoredRecord
from service.summary import job_values

Time = str | None


class InFlightShape(BaseModel):
    """Cells that are being trained one after another and take longer than a moment."""

    cells: int
    done: float = Field(description="the sum of the shares of their steps that are done: so many cells' worth")
    furthest: float = Field(description="the largest of these shares")


class ProgressShape(BaseModel):
    """How far a job is, counted in cells."""

    total: int
    reused: int
    completed: int
    diverged: int
    timed_out: int
    failed: int
    collapsed: int = Field(description="completed cells that learned nothing")
    cells_per_s: float | None = Field(description="of the cells that this job trained itself")
    eta_s: float | None = Field(description="seconds to the end at that rate, while it runs")
    in_flight: InFlightShape | None = Field(
        description="how far cells in flight are, as of some seconds ago; null where none takes longer"
    )


class JobShape(BaseModel):
    """A job as it is now."""

    id: str
    name: str
    state: JobState
    requested: Request | None = Field(description="what the job's owner has been asked to do")
    tags: list[str]
    priority: int
    attempt: int = Field(description="how often it was claimed by a dispatcher")
    crashes: int
    revision: int = Field(description="grows with every change that a watcher would see")
    fingerprints: list[str] = Field(
        description="under which its records were made; each task, and each way of training, has its own"
    )
    execution: dict[str, dict[str, str]] = Field(description="fused or sequential, by task and optimizer")
    rerun_of: str | None = Field(description="the job whose packs it trains again; null for one that repeats none")
    actions: list[Action] = Field(
        description="what may be asked of it now, as far as it alone tells: a baseline that names it forbids some"
    )
    submitted_by: str
    created_at: Time
    started_at: Time
    finished_at: Time
    first_record_at: Time
    error: str | None
    progress: ProgressShape


class OwnerShape(BaseModel):
    """The dispatcher that runs a job; ages are by the database's clock."""

    id: str
    host: str
    heartbeat_age_s: float | None = Field(
        description="seconds since it last reported, which it does with every renewal; null for a run in the foreground"
    )
    lease_left_s: float = Field(description="seconds until another one may take over; negative once it may")


class MissingCellShape(BaseModel):
    """A cell that was tried without a result."""

    task: str | None
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    status: str
    error: str | None


class MissingShape(BaseModel):
    """How many cells have no result, and why."""

    total: int
    untried: int = Field(description="cells without any record yet")
    failed: int
    timed_out: int
    first: list[MissingCellShape] = Field(description="the first few of those that failed, then of those timed out")


class JobDetail(JobShape):
    """A job with its spec, who runs it, and what it lacks."""

    owner: OwnerShape | None = Field(description="null while nobody runs it")
    max_crashes: int = Field(description="so many crashes since the last retry end it")
    retried_after: int = Field(
        description="the attempt that the last retry or extension came after: what had failed or timed out by then is "
        "trained again; 0 when there was none"
    )
    missing: MissingShape
    spec: dict[str, Any]


class JobPage(BaseModel):
    """One page of a list of jobs, newest first."""

    items: list[JobShape]
    next_page_token: str | None


class JobEventShape(BaseModel):
    """An event of a stream; a line of it is one of these fields."""

    event: Literal["job", "records", "end"] = Field(
        description="records: only records came, or cells in flight went on; end: the job has ended"
    )
    id: str = Field(description="revision of the job; among the events of all jobs JOB:REVISION")
    data: str = Field(
        description="the job, as a list has it",
        json_schema_extra={"contentMediaType": "application/json"},
    )


class CostShape(BaseModel):
    """What a cell took."""

    steps: int
    gradient_evaluations: int
    elapsed_s: float
    amortised: bool
    execution: str
    device: str


class DiagnosticsShape(BaseModel):
    """Medians over the steps, and the mean norm of the perturbation."""

    grad_norm: float | None
    delta_over_rho: float | None
    mean_delta: float | None


class RecordShape(BaseModel):
    """The outcome of one training of a cell."""

    id: str
    config_key: str
    fingerprint: str
    task: str | None
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    status: str
    collapsed: bool
    diverged_at_step: int | None
    error: str | None
    metrics: dict[str, float]
    curve: dict[str, list[float | None]] | None
    cost: CostShape
    diagnostics: DiagnosticsShape
    reused: bool | None


_COST, _DIAGNOSTICS = tuple(CostShape.model_fields), tuple(DiagnosticsShape.model_fields)
_PLAIN_PARTS = tuple(name for name in RecordShape.model_fields if name not in ("cost", "diagnostics", "curve"))
_plain_of, _cost_of, _diagnostics_of = (itemgetter(*names) for names in (_PLAIN_PARTS, _COST, _DIAGNOSTICS))


class RecordPage(BaseModel):
    """One page of a job's records, in the order of their config_key."""

    items: list[RecordShape]
    next_page_token: str | None


class DispatcherShape(BaseModel):
    """A process that runs jobs, as it last reported."""

    id: str
    host: str
    version: str
    age_s: float
    job_id: str | None


def detail_values(
    job: Job, progress: Progress, ownership: Ownership | None, first_missing: Iterable[StoredRecord]
) -> dict[str, Any]:
    """Return the values of a `JobDetail`."""
    owner = ownership and {
        "id": ownership.owner,
        "host": host_of(ownership.owner),
        "heartbeat_age_s": ownership.heartbeat_age_s,
        "lease_left_s": ownership.lease_left_s,
    }
    return {
        **job_values(job, progress),
        "owner": owner,
        "max_crashes": job.max_crashes,
        "retried_after": job.retried_after,
        "missing": {
            "total": progress.n_missing,
            "untried": progress.total - progress.n_linked,
            "failed": progress.failed,
            "timed_out": progress.timed_out,
            "first": [_missing_cell_values(stored) for stored in first_missing],
        },
        "spec": dict(job.spec),
    }


def _missing_cell_values(stored: StoredRecord) -> dict[str, Any]:
    record = stored.record
    return {
        "task": stored.task,
        "optimizer": stored.optimizer,
        "hyperparameters": dict(record.hyperparameters),
        "seed": record.seed,
        "status": record.outcome.status,
        "error": record.outcome.error,
    }


def record_values(parts: Mapping[str, Any], *, with_curve: bool) -> dict[str, Any]:
    """Return the values of a `RecordShape` that has these parts."""
    values: dict[str, Any] = dict(zip(_PLAIN_PARTS, _plain_of(parts), strict=True))
    values["cost"] = dict(zip(_COST, _cost_of(parts), strict=True))
    values["diagnostics"] = dict(zip(_DIAGNOSTICS, _diagnostics_of(parts), strict=True))
    values["curve"] = None
    if with_curve:
        values["curve"] = {name: list(map(finite_or_none, series)) for name, series in parts["curve"].items()}
    return values


def dispatcher_values(dispatcher: Dispatcher) -> dict[str, Any]:
    """Return the values of a `DispatcherShape`."""
    return {name: getattr(dispatcher, name) for name in DispatcherShape.model_fields}
