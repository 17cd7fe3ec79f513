"""What goes into the store and what comes out: plain frozen records that know no row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmark.records import Record, Status
from service.keys import KeyState, Scope
from service.states import JobState, Request
from service.store.in_flight import InFlight

DEFAULT_MAX_CRASHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be queued.

    Attributes:
        name: as people call it.
        spec: what it runs, as plain values.
        n_cells: number of cells in its grid.
        tags: words to find it by.
        priority: higher runs first.
        submitted_by: who asked, for attribution and limits.
        max_crashes: how often its driver or dispatcher may die before it is given up.
        execution: fused or sequential by task and optimizer, where it is to be as in another job.
        replay: number of the harmless numerical change under which it trains; 0 is none.
        rerun_of: the job that it trains again.
        rerun: which packs of that job, and which records are compared, as `service.rerunning` writes it; None for a job
            that repeats none.
    """

    name: str
    spec: Mapping[str, Any]
    n_cells: int
    tags: tuple[str, ...] = ()
    priority: int = 0
    submitted_by: str = "local"
    max_crashes: int = DEFAULT_MAX_CRASHES
    execution: Mapping[str, Any] = field(default_factory=dict)
    replay: int = 0
    rerun_of: str | None = None
    rerun: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is now. Times are seconds since 1970 by the database's clock.

    Attributes:
        seq: its place in the order of submission; the cursor of a list of jobs.
        id: short and unique.
        requested: what its owner is asked to do.
        attempt: number of claims; the fence that every write of its owner carries.
        retried_after: the attempt before the last retry: what failed or timed out by then is to be trained again.
        crashes: claims after a lease ran out, and releases after a crash, since the last retry.
        owner: the dispatcher that runs it.
        lease_until: when the job is free to be taken over.
        run_after: when a queued job may be claimed.
        revision: grows with every change that a watcher would see.
        execution: fused or sequential, by task and optimizer.
        replay: number of the harmless numerical change under which it trains; 0 is none.
        rerun_of: the job that it trains again, which may be gone.
        rerun: what of that job; None for one that repeats none.
        made_by: versions and revisions by which its last attempt trains, by name; None before that began.
        probes: seconds and bytes that a step of one cell alone took when it began, by the key of the setting; None
            where nothing was measured.
        in_flight: how far the cells are that its owner trains; None where none takes longer than a moment.
    """

    seq: int
    id: str
    name: str
    spec: Mapping[str, Any]
    tags: tuple[str, ...]
    state: JobState
    requested: Request | None
    priority: int
    attempt: int
    retried_after: int
    crashes: int
    max_crashes: int
    owner: str | None
    lease_until: float | None
    run_after: float
    revision: int
    n_cells: int
    n_before: int
    execution: Mapping[str, Any]
    submitted_by: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    first_record_at: float | None
    last_record_at: float | None
    error: str | None
    rerun_of: str | None
    rerun: Mapping[str, Any] | None
    replay: int
    made_by: Mapping[str, str] | None
    probes: Mapping[str, Any] | None
    in_flight: InFlight | None


class Standing(NamedTuple):
    """Where a job stands: as much as tells whether the rest of it is known already."""

    state: JobState
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which of a job's records are meant; by default all.

    Attributes:
        status: only those that ended so.
        optimizer: only those of the optimizer with this label.
        task: only those of the task with this label.
        config_keys: only those of these cells; a statement has room for some ten thousand.
    """

    status: Status | None = None
    optimizer: str | None = None
    task: str | None = None
    config_keys: tuple[str, ...] | None = None


EVERY = RecordFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is, counted in cells.

    Attributes:
        total: cells of its grid.
        reused: cells whose record another job trained.
        collapsed: completed cells that learned nothing.
        n_before: cells of its own that it had when its last attempt began.
        first_record_at: when the first record of that attempt was written.
        last_record_at: when the newest was.
        fingerprints: of the records it uses, sorted.
        in_flight: how far those are that are being trained; None where none takes longer than a moment.
    """

    total: int
    reused: int = 0
    completed: int = 0
    collapsed: int = 0
    diverged: int = 0
    timed_out: int = 0
    failed: int = 0
    n_before: int = 0
    first_record_at: float | None = None
    last_record_at: float | None = None
    fingerprints: tuple[str, ...] = ()
    in_flight: InFlight | None = None

    @property
    def n_linked(self) -> int:
        """Number of cells that have a record of any status."""
        return self.completed + self.diverged + self.timed_out + self.failed

    @property
    def n_missing(self) -> int:
        """Number of cells without a result: neither completed nor diverged."""
        return self.total - self.completed - self.diverged


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """A record and the labels under which its job knows the cell."""

    record: Record
    task: str
    optimizer: str


@dataclass(frozen=True, slots=True)
class WantedCell:
    """A cell for which an older record would do.

    Attributes:
        config_key: of configuration and seed.
        fingerprint: under which it would be trained now.
        task: label of its task.
        optimizer: label of its optimizer.
        needs_curve: whether only a record with a curve will do.
        radius: at which a control would be trained now; only a record of that radius will do.
        needs_metrics: metrics that a completed record must have; a diverged one has none.
    """

    config_key: str
    fingerprint: str
    task: str
    optimizer: str
    needs_curve: bool = False
    radius: float | None = None
    needs_metrics: tuple[str, ...] = ()


class TrainedPack(NamedTuple):
    """A pack as it was trained: by which attempt of which job, and its id there."""

    job_id: str
    attempt: int
    pack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as it is kept.

    Attributes:
        record: the outcome of the training.
        job_id: the job that trained it, which may be gone.
        attempt: the attempt of that job.
        created_at: when it was written.
        seq: its place in the order in which records were written.
        task: label of the task in the job through which it was read; None where it was read by itself.
        optimizer: label of the optimizer in that job.
        reused: whether that job took it from another one.
    """

    record: Record
    job_id: str
    attempt: int
    created_at: float
    seq: int
    task: str | None = None
    optimizer: str | None = None
    reused: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Who runs a job, by the database's clock.

    Attributes:
        owner: id of the dispatcher.
        lease_left_s: seconds until the job is free to be taken over; negative once it is.
        heartbeat_age_s: seconds since the dispatcher last reported; None for one that does not.
    """

    owner: str
    lease_left_s: float
    heartbeat_age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """A process that runs jobs, as it last reported.

    Attributes:
        heartbeat: when it did.
        age_s: seconds since then, by the database's clock.
        job_id: what it runs; None while it is idle.
        claims: whether it takes jobs: not for a while after its machine could not run one.
    """

    id: str
    host: str
    pid: int
    version: str
    resources: Mapping[str, Any] = field(default_factory=dict)
    started_at: float
    heartbeat: float
    age_s: float
    claims: bool
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of an API key; the key itself is not. Times are as in `Job`.

    Attributes:
        id: the public part of it; the name of whoever uses it.
        label: whose it is and what for.
        last_used_at: to within a minute; None before the first use.
        state: whether it lets somebody in, when this was read.
    """

    id: str
    label: str
    scope: Scope
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    state: KeyState


@dataclass(frozen=True, slots=True)
class PrunableJob:
    """A job that ended long enough ago to be deleted.

    Attributes:
        age_s: seconds since it ended, by the database's clock.
    """

    id: str
    name: str
    state: JobState
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """What pruning would delete.

    Attributes:
        before: the time before which the jobs ended, in seconds since 1970 by the database's clock.
        jobs: the jobs, longest ended first.
        n_records: records that no other job uses or has trained.
        n_keys: idempotency keys that are too old, or of these jobs.
    """

    before: float
    jobs: tuple[PrunableJob, ...]
    n_records: int
    n_keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The size of a database file.

    Attributes:
        free_bytes: the part of it that holds nothing now.
    """

    before_bytes: int
    after_bytes: int
    free_bytes: int
