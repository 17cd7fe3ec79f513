"""Records and jobs to fill a store with."""

from collections.abc import Mapping, Sequence

from benchmark.canonical import content_hash
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Scalar, Status
from service.store import Job, NewJob, PlacedRecord, Store, WantedCell

SETTING = content_hash("setting")
FINGERPRINT = content_hash("fingerprint")
OTHER_FINGERPRINT = content_hash("another fingerprint")
SPEC = {"schema_version": 1, "tasks": [{"name": "digits-mlp"}], "limits": {"cell_s": 60, "job_s": 600}}
CURVE = {"step": (10.0, 20.0, 30.0), "train_loss": (2.25, 1.5, 0.75), "val_accuracy": (0.1, 0.5, 1 / 3)}
TTL_S = 60


def key_of(cell: int) -> str:
    """Key of the cell with a number."""
    return content_hash(["cell", cell])


def make_outcome(
    status: Status = Status.COMPLETED, *, curve: Mapping[str, tuple[float, ...]] | None = None, collapsed: bool = False
) -> Outcome:
    return Outcome(
        status=status,
        metrics={"train_loss": 0.75, "test_accuracy": 1 / 3} if status is Status.COMPLETED else {},
        curve=CURVE if curve is None else curve,
        cost=Cost(30, 60, 0.125, amortised=True, execution="fused", device="cpu"),
        diagnostics=Diagnostics(1.5, None),
        collapsed=collapsed,
        diverged_at_step=7 if status is Status.DIVERGED else None,
        error="worker died" if status is Status.FAILED else None,
    )


def make_record(
    cell: int,
    status: Status = Status.COMPLETED,
    *,
    fingerprint: str = FINGERPRINT,
    hyperparameters: dict[str, Scalar] | None = None,
    outcome: Outcome | None = None,
) -> Record:
    return Record(
        config_key=key_of(cell),
        fingerprint=fingerprint,
        setting=SETTING,
        hyperparameters={"lr": 0.1, "rho": 0.05, "nesterov": True, "k": 3}
        if hyperparameters is None
        else hyperparameters,
        seed=cell % 5,
        outcome=outcome or make_outcome(status),
        pack=PackPlace("pack-1", 20, cell % 20),
    )


def place(*records: Record, task: str = "digits-mlp", optimizer: str = "sam") -> list[PlacedRecord]:
    return [PlacedRecord(record, task, optimizer) for record in records]


def want(*cells: int, fingerprint: str = FINGERPRINT, needs_curve: bool = False) -> list[WantedCell]:
    return [WantedCell(key_of(cell), fingerprint, "digits-mlp", "sam", needs_curve) for cell in cells]


def new_job(
    name: str = "a job",
    *,
    n_cells: int = 3,
    priority: int = 0,
    tags: tuple[str, ...] = (),
    submitted_by: str = "local",
    max_crashes: int = 3,
) -> NewJob:
    return NewJob(
        name=name,
        spec=SPEC,
        n_cells=n_cells,
        priority=priority,
        tags=tags,
        submitted_by=submitted_by,
        max_crashes=max_crashes,
    )


def queue(store: Store, name: str = "a job", *, priority: int = 0, n_cells: int = 3, max_crashes: int = 3) -> Job:
    """Submit a job."""
    return store.submit(new_job(name, n_cells=n_cells, priority=priority, max_crashes=max_crashes))[0]


def start(store: Store, owner: str = "one", ttl_s: float = TTL_S) -> Job:
    """Claim the next job, which must be there."""
    claimed = store.claim(owner, ttl_s)
    assert claimed is not None
    return claimed


def running(store: Store, *, n_cells: int = 3) -> Job:
    """Submit a job and claim it; settings and fingerprints are registered."""
    register(store)
    queue(store, n_cells=n_cells)
    return start(store)


def register(store: Store) -> None:
    store.register({SETTING: {"task": "digits-mlp"}}, {FINGERPRINT: {"torch": "2"}, OTHER_FINGERPRINT: {"torch": "3"}})


def write(store: Store, job: Job, records: Sequence[Record]) -> str | None:
    return store.write_records(job.id, job.attempt, place(*records), TTL_S)
