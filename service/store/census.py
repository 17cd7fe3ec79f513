"""A census: how many jobs, cells and dispatchers there are, from few rows, so that it may be asked for often."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from benchmark.records import Status
from service.states import JobState
from service.store import checks
from service.store.part import Part
from service.store.tables import db_now, dispatcher, job, tally
from service.store.webhook_entities import DeliveryState
from service.store.webhook_tables import delivery

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Census:
    """What the store holds at one moment.

    Attributes:
        jobs: how many are in each state; a state without any is left out.
        oldest_queued_s: seconds since the oldest of the queued jobs was submitted; 0 without one.
        cells: how many have a record, by its status and whether it was reused.
        cells_per_s: that the running jobs train, each on average since the first record of its attempt.
        n_dispatchers: that are alive.
        pending: how many messages to webhooks wait, by whether one was tried already.
        oldest_due_s: seconds since the one that has waited longest was due; 0 while none is.
        n_given_up: messages to webhooks that were given up in the last day.
    """

    jobs: Mapping[JobState, int]
    oldest_queued_s: float
    cells: Mapping[tuple[Status, bool], int]
    cells_per_s: float
    n_dispatchers: int
    pending: Mapping[bool, int]
    oldest_due_s: float
    n_given_up: int


class Counting(Part):
    """What there is of everything."""

    def census(self, alive_within_s: float) -> Census:
        """Count everything.

        Args:
            alive_within_s: how long ago a dispatcher that is alive reported at most.
        """
        by_state = select(job.c.state, func.count()).group_by(job.c.state)
        oldest = select(db_now() - func.min(job.c.created_at)).where(job.c.state == str(JobState.QUEUED))
        by_status = select(tally.c.status, tally.c.reused, func.sum(tally.c.n)).group_by(tally.c.status, tally.c.reused)
        trained = (
            select(func.sum(tally.c.n) - job.c.n_before, db_now() - job.c.first_record_at)
            .join_from(job, tally, tally.c.job_seq == job.c.seq)
            .where(job.c.state == str(JobState.RUNNING), job.c.first_record_at.is_not(None), tally.c.reused.is_(False))
            .group_by(job.c.seq, job.c.n_before, job.c.first_record_at)
        )
        age = db_now() - dispatcher.c.heartbeat
        alive = select(func.count()).where(age <= checks.seconds("alive_within_s", alive_within_s))
        tried = func.count().filter(delivery.c.n_attempts > 0)
        waiting = select(func.count() - tried, tried).where(delivery.c.due_at.is_not(None))
        overdue = select(db_now() - func.min(delivery.c.due_at))
        lately = (delivery.c.settled_at > db_now() - DAY_S, delivery.c.state == str(DeliveryState.FAILED))
        with self._database.read() as connection:
            return Census(
                jobs={JobState(state): n for state, n in connection.execute(by_state)},
                oldest_queued_s=max(0.0, connection.execute(oldest).scalar_one() or 0.0),
                cells={(Status(status), reused): int(n) for status, reused, n in connection.execute(by_status)},
                cells_per_s=sum((n - 1) / age_s for n, age_s in connection.execute(trained) if n > 1 and age_s > 0),
                n_dispatchers=connection.execute(alive).scalar_one(),
                pending=dict(zip((False, True), connection.execute(waiting).one(), strict=True)),
                oldest_due_s=max(0.0, connection.execute(overdue).scalar_one() or 0.0),
                n_given_up=connection.execute(select(func.count()).select_from(delivery).where(*lately)).scalar_one(),
            )
