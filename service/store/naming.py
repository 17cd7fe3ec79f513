"""Naming: what a baseline names, and what a schedule compares with, stays as it is."""

from sqlalchemy import Connection, select

from service.states import Action
from service.store.choosing import choosing_schedules
from service.store.entities import Job
from service.store.errors import InUseError
from service.store.regression_tables import baseline


def require_unnamed(connection: Connection, found: Job, action: Action) -> None:
    """Refuse to change a job that a baseline names, or that a schedule still needs.

    Args:
        connection: a transaction that holds the job's row, as whoever names it does.
        found: the job.
        action: what is asked for.

    Raises:
        InUseError: if there is such a baseline or schedule.
    """
    theirs = select(baseline.c.name).where(baseline.c.job_seq == found.seq).order_by(baseline.c.name)
    names = connection.execute(theirs).scalars().all()
    if names:
        raise InUseError(
            f"cannot {action} job {found.id} while a baseline names it: {', '.join(names)}; "
            "set the baseline to another job first, or delete it."
        )
    choosing = choosing_schedules(connection, found.seq).get(found.seq)
    if choosing is not None:
        raise InUseError(
            f"cannot {action} job {found.id} while a run of the schedule {choosing} is or may be compared with it; "
            "have the schedule compare with something else first, or delete it."
        )
