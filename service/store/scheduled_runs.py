"""Runs of schedules: each started in one transaction, and only once however many schedulers there are."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, select, update

from benchmark.canonical import content_hash
from service.keys import new_id
from service.schedules.cron import Cron, moment
from service.store import checks
from service.store.choosing import compared_job
from service.store.entities import NewJob
from service.store.errors import ConflictError, NotFoundError
from service.store.judging import announce_failure
from service.store.part import Part, insert_into, newest_page
from service.store.regression_entities import RunState
from service.store.regression_tables import schedule, scheduled_run
from service.store.reserving import reserve
from service.store.schedule_entities import Schedule, ScheduledRun
from service.store.schedules import read_schedule, schedule_from_row
from service.store.submitting import checked_job, queue_job
from service.store.tables import db_now, job

MAX_DUE = 100  # at once; the others come next
_trained, _compared = job.alias("trained"), job.alias("compared")
_RUNS = select(
    *(column for column in scheduled_run.c if column.name not in ("schedule_seq", "job_seq", "baseline_job_seq")),
    schedule.c.id.label("schedule_id"),
    _trained.c.id.label("job_id"),
    _compared.c.id.label("baseline_job_id"),
).select_from(
    scheduled_run.join(schedule)
    .outerjoin(_trained, _trained.c.seq == scheduled_run.c.job_seq)
    .outerjoin(_compared, _compared.c.seq == scheduled_run.c.baseline_job_seq)
)
_RUNS_IN_SHORT = _RUNS.with_only_columns(
    *(column for column in _RUNS.selected_columns if column.name != "comparison"), maintain_column_froms=True
)


class ScheduledRuns(Part):
    """Starting the runs of schedules, and looking at them. Only the database's clock counts."""

    def due_schedules(self) -> list[Schedule]:
        """Return schedules of which a run is due and none is under way, the longest waiting first.

        A time that is due while a run is under way waits for its end, and is then one with all that came after it.
        """
        is_busy = exists().where(
            scheduled_run.c.schedule_seq == schedule.c.seq, scheduled_run.c.state == str(RunState.TRAINING)
        )
        due = select(schedule).where(schedule.c.next_due_at <= db_now(), ~is_busy)
        with self._database.read() as connection:
            rows = connection.execute(due.order_by(schedule.c.next_due_at, schedule.c.seq).limit(MAX_DUE)).mappings()
            return [schedule_from_row(row) for row in rows]

    def start_due_run(self, due: Schedule, new: NewJob | None, *, problem: str | None = None) -> ScheduledRun | None:
        """Start the run of a schedule that is due: its job, its row and the next time, all or nothing.

        Args:
            due: as `due_schedules` gave it.
            new: its job; the execution is that of the job it is compared with. None where its spec cannot be run.
            problem: why it cannot.

        Returns:
            The run; None where another scheduler has started it, or the schedule was changed meanwhile.
        """
        values = None if new is None else checked_job(new)
        with self._database.write() as connection:
            unchanged = schedule.c.id == due.id, schedule.c.revision == due.revision
            locked = select(schedule, db_now().label("now")).where(*unchanged).with_for_update()
            row = connection.execute(locked).mappings().one_or_none()
            if row is None or row["next_due_at"] is None or row["next_due_at"] > row["now"]:
                return None
            # alone: PostgreSQL shows a statement that had to wait for the row what there was before
            if _run_under_way(connection, row["seq"]) is not None:
                return None
            cron = Cron(row["cron"], row["timezone"])
            now, due_at = moment(row["now"]), moment(row["next_due_at"])
            later = {"next_due_at": cron.next_due(now).timestamp(), "revision": schedule.c.revision + 1}
            connection.execute(update(schedule).where(schedule.c.seq == row["seq"]).values(**later))
            n_missed = cron.missed(due_at, now) - 1
            return _start(connection, due, values, row["next_due_at"], n_missed=n_missed, problem=problem)

    def start_run(
        self, schedule_id: str, new: NewJob, *, principal: str = "local", idempotency_key: str | None = None
    ) -> tuple[ScheduledRun, bool]:
        """Start a run that somebody asks for; the times at which others are due stay.

        Args:
            schedule_id: id or name of the schedule, which may be paused.
            new: its job; the execution is that of the job it is compared with.
            principal: whose idempotency key it is.
            idempotency_key: under which a repeated call gives the run of the first one.

        Returns:
            The run as it is now, and whether this call started it.

        Raises:
            NotFoundError: if there is no such schedule.
            ConflictError: while another run of it is under way.
            IdempotencyConflictError: if the key was used with another body in the last 24 hours.
        """
        values, run_id = checked_job(new), new_id()
        with self._database.write() as connection:
            found = read_schedule(connection, schedule_id, lock=True)
            if idempotency_key is not None:
                body = content_hash({"kind": "scheduled_run", "schedule": found.id})
                earlier = reserve(connection, principal, idempotency_key, body, run_id)
                if earlier is not None:
                    return _read_run(connection, found.id, earlier), False
            under_way = _run_under_way(connection, found.seq)
            if under_way is not None:
                raise ConflictError(
                    f"a schedule has one run at a time, but run {under_way} of {found.name} has not ended; wait for "
                    "it, or cancel its job."
                )
            now = float(connection.execute(select(db_now())).scalar_one())
            started = _start(connection, found, values, now, run_id=run_id, is_manual=True)
            if started is None:
                raise ConflictError(f"a run of {found.name} was due at this very moment; ask again.")
            return started, True

    def scheduled_run(self, schedule_id: str, run_id: str) -> ScheduledRun:
        """Return a run of a schedule, given by id or name; raises NotFoundError where one of them is not there."""
        with self._database.read() as connection:
            return _read_run(connection, read_schedule(connection, schedule_id).id, run_id)

    def scheduled_runs(self, schedule_id: str, limit: int = 50, before: int | None = None) -> list[ScheduledRun]:
        """Return runs of a schedule, newest first, without their comparisons, which are long.

        Args:
            schedule_id: id or name of the schedule.
            limit: at most so many.
            before: only those that started before the one with this `seq`.

        Raises:
            NotFoundError: if there is no such schedule.
        """
        with self._database.read() as connection:
            found = read_schedule(connection, schedule_id)
            statement = _RUNS_IN_SHORT.where(scheduled_run.c.schedule_seq == found.seq)
            rows = connection.execute(newest_page(statement, scheduled_run.c.seq, limit, before)).mappings()
            return [run_from_row(row) for row in rows]

    def newest_runs(self, schedule_ids: Collection[str]) -> dict[str, ScheduledRun]:
        """Return the newest run of each schedule, without its comparison; schedules without any are left out."""
        newest = select(func.max(scheduled_run.c.seq)).join(schedule).where(schedule.c.id.in_(schedule_ids))
        statement = _RUNS_IN_SHORT.where(scheduled_run.c.seq.in_(newest.group_by(schedule.c.seq)))
        with self._database.read() as connection:
            return {row["schedule_id"]: run_from_row(row) for row in connection.execute(statement).mappings()}


def run_from_row(row: RowMapping) -> ScheduledRun:
    """Return the run of a row that one of the statements here gives."""
    return ScheduledRun(**{"comparison": None, **row, "state": RunState(row["state"])})


def _run_under_way(connection: Connection, schedule_seq: int) -> str | None:
    """Return the id of the run of a schedule that has not ended, within the transaction that holds the schedule."""
    busy = scheduled_run.c.schedule_seq == schedule_seq, scheduled_run.c.state == str(RunState.TRAINING)
    return connection.execute(select(scheduled_run.c.id).where(*busy)).scalars().first()


def _read_run(connection: Connection, schedule_id: str, run_id: str) -> ScheduledRun:
    which = scheduled_run.c.id == checks.text("the id of a run", run_id), schedule.c.id == schedule_id
    row = connection.execute(_RUNS.where(*which)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r} of this schedule.")
    return run_from_row(row)


def _start(
    connection: Connection,
    found: Schedule,
    values: dict[str, Any] | None,
    due_at: float,
    *,
    run_id: str | None = None,
    n_missed: int = 0,
    is_manual: bool = False,
    problem: str | None = None,
) -> ScheduledRun | None:
    """Insert a run and queue its job, within the transaction that holds the schedule's row."""
    compared = compared_job(connection, found.seq, found.policy)
    run_id = run_id or new_id()
    row = {
        "id": run_id,
        "schedule_seq": found.seq,
        "due_at": due_at,
        "n_missed": n_missed,
        "is_manual": is_manual,
        "state": str(RunState.TRAINING if values is not None else RunState.FAILED),
        "baseline_job_seq": compared and compared.seq,
        "baseline_name": found.policy.name,
        "reason": problem,
        "created_at": db_now(),
        "judged_at": None if values is not None else db_now(),
    }
    inserted = insert_into(connection, scheduled_run).values(**row).on_conflict_do_nothing()
    seq = connection.execute(inserted.returning(scheduled_run.c.seq)).scalar_one_or_none()
    if seq is None:  # the clock of the database went back, and this time has had its run
        return None
    if values is None:
        announce_failure(connection, seq)
    else:
        if compared is not None:
            values = {**values, "execution": compared.execution}
        queued = queue_job(connection, values, new_id())
        theirs = update(scheduled_run).where(scheduled_run.c.seq == seq).values(job_seq=queued.seq)
        connection.execute(theirs)
    return _read_run(connection, found.id, run_id)
