"""Schedules and runs to fill a store with."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.keys import new_id
from service.schedules.running import scheduled_job
from service.states import JobState
from service.store import (
    BaselinePolicy,
    Job,
    NewSchedule,
    PolicyKind,
    RunState,
    Schedule,
    ScheduledRun,
    Store,
)
from service.store.database import Database
from service.store.regression_tables import alert, baseline, scheduled_run
from service.store.tables import job
from tests.service.filling import landscape_spec

PREVIOUS = BaselinePolicy(kind=PolicyKind.PREVIOUS)
DAY_S = 86_400.0


def new_schedule(name: str = "nightly", **changes: Any) -> NewSchedule:
    values: dict[str, Any] = {"cron": "0 3 * * *", "spec": landscape_spec(), "n_cells": 2, "policy": PREVIOUS}
    return NewSchedule(name=name, **values | changes)


def schedule(store: Store, name: str = "nightly", **changes: Any) -> Schedule:
    return store.create_schedule(new_schedule(name, **changes))[0]


def start_run(store: Store, of: str = "nightly") -> ScheduledRun:
    """Start a run by hand."""
    found = store.schedule(of)
    return store.start_run(found.id, scheduled_job(found))[0]


@contextlib.contextmanager
def writing(where: str | Database) -> Iterator[Connection]:
    """Give a transaction on a database that is open, or on one by its address."""
    database = Database(where) if isinstance(where, str) else where
    try:
        with database.write() as connection:
            yield connection
    finally:
        if database is not where:
            database.close()


def end_run(
    where: str | Database,
    run: ScheduledRun,
    *,
    state: RunState = RunState.JUDGED,
    verdict: str | None = None,
    measures: Mapping[str, Any] | None = None,
    execution: Mapping[str, Any] | None = None,
) -> None:
    """Let the job of a run end and the run be judged, without any training or comparison."""
    with writing(where) as connection:
        values = {"state": str(state), "verdict": verdict, "measures": measures}
        connection.execute(update(scheduled_run).where(scheduled_run.c.id == run.id).values(**values))
        ended: dict[str, Any] = {"state": str(JobState.COMPLETED), "finished_at": run.created_at}
        ended |= {} if execution is None else {"execution": execution}
        connection.execute(update(job).where(job.c.id == run.job_id).values(**ended))


def add_alert(
    where: str | Database, first: ScheduledRun, last: ScheduledRun, *, acknowledged: bool, optimizer: str = "sam"
) -> None:
    """Insert an alert that lasted from a run to another."""
    with writing(where) as connection:
        owner = select(scheduled_run.c.schedule_seq).where(scheduled_run.c.id == first.id)
        values = {
            "id": new_id(),
            "schedule_seq": connection.execute(owner).scalar_one(),
            "task": "banana",
            "optimizer": optimizer,
            "state": "acknowledged" if acknowledged else "open",
            "measures": [],
            "first_run_seq": first.seq,
            "last_run_seq": last.seq,
            "opened_at": 1.0,
            "acknowledged_at": 2.0 if acknowledged else None,
        }
        connection.execute(insert(alert).values(**values))


def add_baseline(where: str | Database, name: str, named: Job) -> None:
    """Name a job, whatever it is."""
    with writing(where) as connection:
        values = {"id": new_id(), "name": name, "job_seq": named.seq, "y_ref": {}, "revision": 1}
        connection.execute(insert(baseline).values(set_at=0.0, set_by="local", **values))


def count_runs(where: str | Database) -> int:
    with writing(where) as connection:
        return int(connection.execute(select(func.count()).select_from(scheduled_run)).scalar_one())


def count_queued(store: Store) -> int:
    """Number of jobs in the queue."""
    return store.census(60.0).jobs.get(JobState.QUEUED, 0)
