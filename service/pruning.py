"""Pruning: what ended long ago is deleted from the store, and its logs from the data folder."""

import time
from dataclasses import dataclass
from pathlib import Path

from service.logs import log_bytes, logs_before, remove_log
from service.settings import Settings
from service.store import NotFoundError, Prunable, Space, Store

PAUSE_S = 0.05  # between transactions: SQLite's writers do not queue, and one without a pause keeps the others out


@dataclass(frozen=True, slots=True)
class Plan:
    """What pruning would delete.

    Attributes:
        prunable: of the store.
        logs: of those jobs, and of jobs that the store does not have.
        log_bytes: how large the logs are together.
    """

    prunable: Prunable
    logs: tuple[Path, ...]
    log_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.prunable.jobs or self.prunable.n_records or self.prunable.n_keys or self.logs)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted.

    Attributes:
        space: of the database file; None on PostgreSQL.
    """

    n_jobs: int
    n_records: int
    n_keys: int
    log_bytes: int
    space: Space | None


def plan_pruning(store: Store, settings: Settings, older_than_s: float) -> Plan:
    """Return what pruning would delete now, changing nothing."""
    prunable = store.prunable(older_than_s)
    logs = [settings.log_path(job.id) for job in prunable.jobs]
    if settings.is_embedded:  # another store may be one of several that share the data folder
        logs += [path for job_id, path in logs_before(settings, prunable.before) if not _has_job(store, job_id)]
    present = tuple(path for path in logs if path.exists())
    return Plan(prunable, present, sum(map(log_bytes, present)))


def prune(store: Store, settings: Settings, plan: Plan) -> Pruned:
    """Delete what a plan names, as far as it may still be deleted.

    Args:
        store: where the jobs are.
        settings: of the data folder.
        plan: made a moment ago.
    """
    n_jobs = n_records = 0
    kept: set[Path] = set()
    for job in plan.prunable.jobs:
        if store.prune_job(job.id, plan.prunable.before):
            n_jobs += 1
        elif _has_job(store, job.id):  # somebody has queued it again
            kept.add(settings.log_path(job.id))
        time.sleep(PAUSE_S)
    n_bytes = sum(remove_log(path) for path in plan.logs if path not in kept)
    for n_deleted in store.prune_records():
        n_records += n_deleted
        time.sleep(PAUSE_S)
    return Pruned(n_jobs, n_records, store.prune_keys(), n_bytes, store.reclaim())


def _has_job(store: Store, job_id: str) -> bool:
    try:
        store.job(job_id)
    except NotFoundError:
        return False
    return True
