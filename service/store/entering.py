"""Entering a state in which nobody owns the job: the one place that writes it, and tells the end to webhooks."""

from typing import Any

from sqlalchemy import Connection, update

from service.states import Action, JobState, next_state
from service.store.entities import Job
from service.store.outbox import announce_end
from service.store.part import job_from_row
from service.store.tables import db_now, job


def enter(connection: Connection, seq: int, state: JobState, *, error: str | None = None, **values: Any) -> Job:
    """Take a job to a state in which nobody owns it; an end goes into the outbox in the same transaction.

    Args:
        connection: a transaction that writes, and holds the job's row.
        seq: number of the job.
        state: any but running.
        error: why it failed, or what went wrong last.
        values: other columns to set.
    """
    changed = {
        "state": str(state),
        "requested": None,
        "owner": None,
        "lease_until": None,
        "in_flight": None,
        "finished_at": db_now() if state.is_terminal else None,
        "error": error,
        "revision": job.c.revision + 1,
        **values,
    }
    statement = update(job).where(job.c.seq == seq).values(**changed).returning(job)
    entered = job_from_row(connection.execute(statement).mappings().one())
    if state.is_terminal:
        announce_end(connection, entered)
    return entered


def settle(connection: Connection, found: Job, action: Action, crashes: int, error: str | None) -> Job:
    """Take a job to where its settlement takes it, after so many crashes and this last error."""
    message = None
    if action is Action.FAIL:
        last = f"; the last: {error}" if error else "."
        message = f"given up after {crashes} crashes of its driver or dispatcher{last}"
    return enter(connection, found.seq, next_state(found.state, action), error=message, crashes=crashes)
