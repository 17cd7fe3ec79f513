"""Leases: the fence that every write of a job's owner passes, and what becomes of a job that nobody owns any more."""

from typing import Any

from sqlalchemy import Connection, Row, update

from service.states import Action, JobState, Request
from service.store import checks
from service.store.errors import LostLeaseError
from service.store.part import known_form
from service.store.tables import db_now, job


def fence(connection: Connection, job_id: str, attempt: int, **values: Any) -> Row[*tuple[Any, ...]]:
    """Change a job as its owner, and hold its row until the transaction ends.

    Args:
        connection: a transaction that writes.
        job_id: the job.
        attempt: the caller's; every claim makes it larger, so that a former owner's does not fit any more.
        values: what to set; `lease_until` stays as it is without.

    Returns:
        The job's `seq` and `requested` as they were before.

    Raises:
        LostLeaseError: if the job is not running under this attempt; nothing was written.
    """
    number = checks.integer("attempt", attempt)
    owned = (job.c.id == known_form(job_id), job.c.attempt == number, job.c.state == str(JobState.RUNNING))
    changed = values or {"attempt": job.c.attempt}
    row = connection.execute(
        update(job).where(*owned).values(**changed).returning(job.c.seq, job.c.requested)
    ).one_or_none()
    if row is None:
        raise LostLeaseError(
            f"job {job_id} is not run by attempt {attempt} any more: it was taken over, released or finished."
        )
    return row


def lease(ttl_s: float) -> dict[str, Any]:
    """Return the values that make a job its owner's for so many seconds from now, by the database's clock."""
    return {"lease_until": db_now() + checks.seconds("ttl_s", ttl_s)}


def settlement(requested: Request | None, crashes: int, max_crashes: int) -> Action | None:
    """Return what becomes of a job that its owner left: what people asked for, else giving up; None to run on."""
    if requested is Request.CANCEL:
        return Action.CANCEL
    if requested is Request.PAUSE:
        return Action.PAUSE
    return Action.FAIL if crashes >= max_crashes else None
