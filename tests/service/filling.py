"""Jobs with made-up records, for tests of everything that reads results and trains nothing."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmark import Cost, Diagnostics, Outcome, PackPlace, Record, Spec, Status
from benchmark.execution import device_for, train_cell
from benchmark.spec import Cell, expand
from service.states import JobState
from service.store import Job, PlacedRecord, Store
from service.submission import new_job

FINGERPRINT = "0123456789abcdef0123456789abcdef"
LEASE_S = 60.0
N_EVALUATIONS = 3


def small_spec(**changes: Any) -> dict[str, Any]:
    """Return a spec of 3 optimizers x 2 or 4 configurations x 2 seeds: 20 cells."""
    return {
        "name": "small",
        "tasks": [{"name": "digits-mlp", "params": {"hidden": 8}}],
        "budget": {"epochs": 1},
        "optimizers": [
            {"name": "gd"},
            {"name": "sam", "space": {"rho": {"values": [0.1, 1.0]}}},
            {"name": "msam", "space": {"rho": {"values": [0.1, 1.0]}}},
        ],
        "space": {"lr": {"values": [0.01, 0.1]}},
        "seeds": {"count": 2},
    } | changes


def landscape_spec() -> dict[str, Any]:
    """Return a spec of two short descents on a landscape."""
    return {
        "name": "descents",
        "tasks": [{"name": "banana", "params": {"start": [-1.5, 0.5]}}],
        "budget": {"epochs": 5},
        "optimizers": [{"name": "sam", "fixed": {"rho": 1.0}}],
        "space": {"lr": {"values": [0.01]}},
        "seeds": {"count": 1},
    }


def trained(cell: Cell) -> Outcome:
    """Return the outcome of training the cell here."""
    return train_cell(cell, PackPlace("pack", 1, 0), device=device_for(use_gpu=False), limit_s=60).outcome


def completed(cell: Cell) -> Outcome:
    """Return an outcome whose test accuracy depends on what is trained: better with lr, worse with rho."""
    rho = float(cell.hyperparameters.get("rho", 0.0))
    accuracy = 0.9 + 0.1 * float(cell.hyperparameters["lr"]) - 0.2 * rho + 0.001 * cell.seed
    metrics = {"train_loss": 0.5, "val_accuracy": accuracy, "test_accuracy": accuracy - 0.01}
    metrics |= {"val_loss": 0.6, "test_loss": 0.7}
    curve = {name: tuple(value * step for step in range(1, N_EVALUATIONS + 1)) for name, value in metrics.items()}
    return Outcome(
        Status.COMPLETED, metrics, curve | {"step": (5.0, 10.0, 16.0)}, _cost(), Diagnostics(0.4, 1.0 if rho else None)
    )


def curved(cell: Cell) -> Outcome:
    """Return the outcome of `completed` with a sharpness that falls as accuracy rises."""
    outcome = completed(cell)
    return replace(outcome, metrics={**outcome.metrics, "sharpness_sam": 2.0 - outcome.metrics["test_accuracy"]})


def diverged(cell: Cell) -> Outcome:
    """Return the outcome of a run whose loss was not finite at its seventh step."""
    curve = {"step": (5.0,), "train_loss": (math.inf,)}
    return Outcome(Status.DIVERGED, {}, curve, _cost(), Diagnostics(None, None), diverged_at_step=7)


def failed(cell: Cell) -> Outcome:
    """Return the outcome of a cell that could not be trained."""
    return Outcome(Status.FAILED, {}, {}, _cost(), Diagnostics(None, None), error="RuntimeError: no luck")


def timed_out(cell: Cell) -> Outcome:
    """Return the outcome of a cell that took too long."""
    return Outcome(Status.TIMED_OUT, {}, {}, _cost(), Diagnostics(None, None))


def mixed(cell: Cell) -> Outcome:
    """Return an outcome of every status: 8 completed cells of `small_spec`, 4 that failed, 4 timed out, 4 diverged."""
    if cell.optimizer == "gd":
        return failed(cell)
    if cell.optimizer == "sam":
        return completed(cell)
    return diverged(cell) if cell.seed else timed_out(cell)


def _cost() -> Cost:
    return Cost(16, 32, 0.25, amortised=False, execution="sequential", device="cpu")


def submit(store: Store, document: dict[str, Any] | None = None, submitted_by: str = "local") -> Job:
    """Queue a job."""
    spec = Spec.from_mapping(document or small_spec())
    job, _ = store.submit(replace(new_job(spec), submitted_by=submitted_by))
    return job


def records_of(job: Job, outcome_of: Callable[[Cell], Outcome] = completed) -> list[PlacedRecord]:
    """Return a record for every cell of a job."""
    placed = []
    for position, cell in enumerate(expand(Spec.from_mapping(job.spec))):
        place = PackPlace("pack", job.n_cells, position)
        record = Record(
            cell.key, FINGERPRINT, cell.setting.key, cell.hyperparameters, cell.seed, outcome_of(cell), place
        )
        placed.append(PlacedRecord(record, cell.task, cell.optimizer))
    return placed


def records_by_key(spec: Spec, outcome_of: Callable[[Cell], Outcome] = completed) -> dict[str, Record]:
    """Return a record for every cell of a spec that is known ahead, by config_key."""
    cells = list(expand(spec))
    places = [PackPlace("pack", len(cells), position) for position in range(len(cells))]
    return {
        cell.key: Record(
            cell.key, FINGERPRINT, cell.setting.key, cell.hyperparameters, cell.seed, outcome_of(cell), place
        )
        for cell, place in zip(cells, places, strict=True)
    }


def run_made_up(
    store: Store,
    job: Job,
    outcome_of: Callable[[Cell], Outcome] = completed,
    *,
    n: int | None = None,
    state: JobState | None = JobState.COMPLETED,
) -> Job:
    """Claim a job and write made-up records, of its first `n` cells or of all; then end it in `state`, if any."""
    claimed = store.claim("a-dispatcher", LEASE_S, only=job.id)
    assert claimed is not None
    cells = list(expand(Spec.from_mapping(job.spec)))
    store.register({cell.setting.key: cell.setting.to_dict() for cell in cells}, {FINGERPRINT: {"torch": "2.13.0"}})
    store.write_records(job.id, claimed.attempt, records_of(job, outcome_of)[:n], LEASE_S)
    if state is not None:
        store.finish(job.id, claimed.attempt, state)
    return store.job(job.id)
