"""The queue: dispatchers claim jobs by lease, keep them, and give them back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from service.states import Action, JobState, Request, next_state
from service.store import checks
from service.store.entering import enter, settle
from service.store.entities import Job
from service.store.errors import InvalidValueError, LostLeaseError
from service.store.in_flight import InFlight
from service.store.leases import fence, lease, settlement
from service.store.part import Part, job_from_row, known_form, read_job
from service.store.tables import db_now, dispatcher, job, tally

QUEUE_LOCK = 0x52486F33  # held while a decision counts several jobs

_ENDINGS = {
    JobState.COMPLETED: Action.COMPLETE,
    JobState.FAILED: Action.FAIL,
    JobState.CANCELLED: Action.CANCEL,
    JobState.PAUSED: Action.PAUSE,
}


class Queue(Part):
    """Claiming and owning jobs. Only the database's clock counts."""

    def claim(self, owner: str, ttl_s: float, *, max_running: int | None = None, only: str | None = None) -> Job | None:
        """Take the job that is next: queued, or running with a lease that ran out.

        What is found cancelled, paused or crashed too often is settled on the way.

        Args:
            owner: the dispatcher's id.
            ttl_s: how long the lease lasts unless it is renewed.
            max_running: how many jobs of one submitter may run at once.
            only: id of the one job to take; None takes whichever is next.

        Returns:
            The job, running under its new attempt; None if there is nothing to do.
        """
        checks.text("owner", owner, limit=checks.MAX_LABEL)
        values = lease(ttl_s)
        while True:
            with self._database.write() as connection:
                if max_running is not None:
                    self._database.lock(connection, QUEUE_LOCK)
                found = _next(connection, max_running, only)
                if found is None:
                    return None
                # An owner that takes its own job again was cut off from the database for longer than its lease.
                crashes = found.crashes + (found.state is JobState.RUNNING and found.owner != owner)
                action = settlement(found.requested, crashes, found.max_crashes)
                if action is not None:
                    settle(connection, found, action, crashes, found.error)
                    continue
                changed = {
                    "state": str(next_state(found.state, Action.CLAIM)),
                    "requested": None,
                    "owner": owner,
                    "attempt": job.c.attempt + 1,
                    "crashes": crashes,
                    "n_before": _n_own(found.seq),
                    "first_record_at": None,
                    "last_record_at": None,
                    "in_flight": None,
                    "started_at": func.coalesce(job.c.started_at, db_now()),
                    "revision": job.c.revision + 1,
                    **values,
                }
                statement = update(job).where(job.c.seq == found.seq).values(**changed).returning(job)
                return job_from_row(connection.execute(statement).mappings().one())

    def renew(self, job_id: str, attempt: int, ttl_s: float) -> str | None:
        """Keep a job for another `ttl_s` seconds, and return what its owner is asked to do.

        Raises:
            LostLeaseError: if it was taken over, released or finished.
        """
        with self._database.write() as connection:
            requested: str | None = fence(connection, job_id, attempt, **lease(ttl_s)).requested
            return requested

    def requested(self, job_id: str, attempt: int) -> str | None:
        """Return what the owner of a job is asked to do, without writing; raises as `renew` does."""
        owned = (job.c.id == known_form(job_id), job.c.attempt == attempt, job.c.state == str(JobState.RUNNING))
        with self._database.read() as connection:
            found = connection.execute(select(job.c.requested).where(*owned)).all()
        if not found:
            raise LostLeaseError(f"job {job_id} is not run by attempt {attempt} any more.")
        requested: str | None = found[0].requested
        return requested

    def set_execution(
        self, job_id: str, attempt: int, execution: Mapping[str, Any], *, made_by: Mapping[str, str] | None = None
    ) -> None:
        """Keep how a job's optimizers are executed, by task and optimizer, and what makes its records.

        Args:
            job_id: which one.
            attempt: the caller's.
            execution: fused or sequential, by labels of task and optimizer.
            made_by: versions and revisions by name; what was kept before stays where it is None.

        Raises:
            LostLeaseError: if it was taken over, released or finished.
        """
        values: dict[str, Any] = {"execution": checks.document("execution", execution)}
        if made_by is not None:
            values["made_by"] = checks.document("made_by", made_by)
        with self._database.write() as connection:
            fence(connection, job_id, attempt, **values, revision=job.c.revision + 1)

    def set_probes(self, job_id: str, attempt: int, probes: Mapping[str, Any]) -> None:
        """Keep what a cell of each setting took by itself, by the key of the setting; raises as `renew` does."""
        document = checks.document("probes", probes)
        with self._database.write() as connection:
            fence(connection, job_id, attempt, probes=document, revision=job.c.revision + 1)

    def set_in_flight(self, job_id: str, attempt: int, in_flight: InFlight | None) -> None:
        """Keep how far the cells are that its owner trains; raises as `renew` does."""
        document = None if in_flight is None else in_flight.to_dict()
        with self._database.write() as connection:
            fence(connection, job_id, attempt, in_flight=document, revision=job.c.revision + 1)

    def finish(self, job_id: str, attempt: int, state: JobState, error: str | None = None) -> Job:
        """End a job, or pause it, as its owner.

        Args:
            job_id: which one.
            attempt: the caller's.
            state: completed, failed, cancelled or paused.
            error: why it failed.

        Raises:
            LostLeaseError: if it was taken over, released or finished already.
            InvalidValueError: if it is another state.
        """
        action = _ENDINGS.get(state)
        if action is None:
            raise InvalidValueError(f"state must be one of {', '.join(_ENDINGS)}, but got {state}.")
        message = None if error is None else checks.message(error)
        with self._database.write() as connection:
            owned = fence(connection, job_id, attempt)
            return enter(connection, owned.seq, next_state(JobState.RUNNING, action), error=message)

    def release(self, job_id: str, attempt: int, *, crashed: bool, delay_s: float = 0, error: str | None = None) -> Job:
        """Give a job back, so that it is claimed again, or settled if its owner was asked to end or pause it.

        Args:
            job_id: which one.
            attempt: the caller's.
            crashed: whether its driver died; the job fails when that happened `max_crashes` times.
            delay_s: how long nobody is to claim it.
            error: why its driver died, for people.

        Raises:
            LostLeaseError: if it was taken over, released or finished already.
        """
        delay = checks.seconds("delay_s", delay_s)
        message = None if error is None else checks.message(error)
        with self._database.write() as connection:
            fence(connection, job_id, attempt)
            found = read_job(connection, job_id)
            crashes = found.crashes + crashed
            action = settlement(found.requested, crashes, found.max_crashes)
            if action is not None:
                return settle(connection, found, action, crashes, message)
            after = next_state(found.state, Action.RELEASE)
            waiting = {"crashes": crashes, "run_after": db_now() + delay}
            return enter(connection, found.seq, after, error=message, **waiting)

    def preempt_candidate(self, alive_within_s: float, *, max_running: int | None = None) -> Job | None:
        """Ask the running job of lowest priority to make room, if a queued one goes first and no dispatcher is idle.

        One job at a time is asked: while one is about to stop, for whatever reason, nothing is done.

        Args:
            alive_within_s: a dispatcher that reported so lately is alive.
            max_running: as of `claim`: for a job of a submitter who runs as many, only one of their own makes room.

        Returns:
            The job that was asked; None if there was no reason to.
        """
        alive = dispatcher.c.heartbeat >= db_now() - checks.seconds("alive_within_s", alive_within_s)
        idle = exists().where(dispatcher.c.job_id.is_(None), dispatcher.c.claims, alive)
        running = and_(job.c.state == str(JobState.RUNNING), job.c.lease_until > db_now())
        stopping = exists(select(job.c.seq).where(running, job.c.requested.is_not(None)))
        highest = func.max(job.c.priority)
        waiting = (
            select(job.c.submitted_by, highest.label("priority"))
            .where(_is_due(None), ~idle, ~stopping)
            .group_by(job.c.submitted_by)
            .order_by(highest.desc(), func.min(job.c.seq))
        )
        with self._database.write() as connection:
            self._database.lock(connection, QUEUE_LOCK)
            for submitted_by, priority in connection.execute(waiting).all():
                makes_room = [running, job.c.priority < priority]
                if max_running is not None and _n_running(connection, submitted_by) >= max_running:
                    makes_room.append(job.c.submitted_by == submitted_by)
                last = select(job.c.seq).where(*makes_room)
                last = last.order_by(job.c.priority, job.c.started_at.desc(), job.c.seq.desc()).limit(1)
                seq = connection.execute(last.with_for_update()).scalar_one_or_none()
                if seq is not None:
                    return _asked_to_make_room(connection, seq, running)
            return None


def _asked_to_make_room(connection: Connection, seq: int, running: ColumnElement[bool]) -> Job | None:
    values = {"requested": str(Request.PREEMPT), "revision": job.c.revision + 1}
    marked = update(job).where(job.c.seq == seq, running, job.c.requested.is_(None)).values(**values).returning(job)
    row = connection.execute(marked).mappings().one_or_none()
    return None if row is None else job_from_row(row)


def _n_running(connection: Connection, submitted_by: str) -> int:
    theirs = job.c.state == str(JobState.RUNNING), job.c.submitted_by == submitted_by
    return int(connection.execute(select(func.count()).select_from(job).where(*theirs)).scalar_one())


def _n_own(seq: int) -> ColumnElement[int]:
    """Return how many cells a job has that it trained itself."""
    own = select(func.coalesce(func.sum(tally.c.n), 0)).where(tally.c.job_seq == seq, tally.c.reused.is_(False))
    return own.scalar_subquery()


def _is_due(max_running: int | None) -> ColumnElement[bool]:
    due = and_(job.c.state == str(JobState.QUEUED), job.c.run_after <= db_now())
    if max_running is None:
        return due
    other = job.alias()
    theirs = (other.c.state == str(JobState.RUNNING), other.c.submitted_by == job.c.submitted_by)
    return and_(due, select(func.count()).select_from(other).where(*theirs).scalar_subquery() < max_running)


def _next(connection: Connection, max_running: int | None, only: str | None) -> Job | None:
    due = _is_due(max_running)
    lapsed = and_(job.c.state == str(JobState.RUNNING), job.c.lease_until <= db_now())
    statement = select(job).where(or_(due, lapsed)).order_by(job.c.priority.desc(), job.c.seq).limit(1)
    if only is not None:
        statement = statement.where(job.c.id == known_form(only))
    row = connection.execute(statement.with_for_update(skip_locked=True, of=job)).mappings().one_or_none()
    return None if row is None else job_from_row(row)
