"""Judging: what was found of a run is written in one transaction with the alerts that follow and who is told."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, insert, or_, select, update

from service.keys import new_id
from service.states import JobState
from service.store import checks
from service.store.alert_entities import EndedRun, Judgement, Measure, after_run, is_over
from service.store.alerts import alert_from_row, alert_values, select_alerts
from service.store.outbox import MAX_ERROR, hearing_of, post
from service.store.part import Part
from service.store.regression_entities import AlertState, RunState
from service.store.regression_tables import alert, schedule, scheduled_run
from service.store.tables import db_now, job
from service.summary import time_text

ALERT_OPENED, ALERT_CLOSED, RUN_FAILED = "alert.opened", "alert.closed", "schedule.run_failed"
AnyRow = Row[*tuple[Any, ...]]
_ENDED = tuple(str(state) for state in JobState if state.is_terminal)


class Judging(Part):
    """Finding the runs of schedules whose jobs have ended, and writing down what was found of them."""

    def ended_runs(self, limit: int = 10) -> list[EndedRun]:
        """Return runs that are to be judged, oldest first.

        These are those in training whose job has ended or is not there any more, and those that failed whose job was
        then retried and completed.
        """
        again = and_(
            scheduled_run.c.state == str(RunState.FAILED),
            job.c.state == str(JobState.COMPLETED),
            job.c.finished_at > scheduled_run.c.judged_at,
        )
        ended = and_(scheduled_run.c.state == str(RunState.TRAINING), or_(job.c.seq.is_(None), job.c.state.in_(_ENDED)))
        compared = job.alias("compared")
        columns = (
            scheduled_run.c.id,
            schedule.c.id.label("schedule_id"),
            job.c.id.label("job_id"),
            job.c.state.label("job_state"),
            job.c.revision.label("job_revision"),
            job.c.error.label("job_error"),
            compared.c.id.label("baseline_job_id"),
            scheduled_run.c.baseline_name,
            schedule.c.thresholds,
        )
        joined = scheduled_run.join(schedule).outerjoin(job, job.c.seq == scheduled_run.c.job_seq)
        statement = (
            select(*columns)
            .select_from(joined.outerjoin(compared, compared.c.seq == scheduled_run.c.baseline_job_seq))
            .where(or_(ended, again))
            .order_by(scheduled_run.c.seq)
            .limit(checks.integer("limit", limit))
        )
        with self._database.read() as connection:
            return [EndedRun(**row) for row in connection.execute(statement).mappings()]

    def reference_before(self, run_id: str) -> Mapping[str, Any] | None:
        """Return what the newest earlier run of the same schedule was measured by; None where there is none."""
        mine = select(scheduled_run.c.schedule_seq, scheduled_run.c.seq).where(scheduled_run.c.id == run_id).subquery()
        statement = (
            select(scheduled_run.c.reference)
            .join(mine, mine.c.schedule_seq == scheduled_run.c.schedule_seq)
            .where(scheduled_run.c.seq < mine.c.seq, scheduled_run.c.reference.is_not(None))
            .order_by(scheduled_run.c.seq.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            found: Mapping[str, Any] | None = connection.execute(statement).scalar_one_or_none()
            return found

    def settle_run(self, ended: EndedRun, judgement: Judgement) -> bool:
        """Write down what was found of a run, open and close its alerts, and tell the webhooks that want to hear of it.

        A run that was judged after a later one of its schedule, since its job was retried, changes no alert.

        Returns:
            Whether it was written: not where another server was first, or the job changed since it was read.
        """
        values = {
            "state": str(judgement.state),
            "verdict": judgement.verdict,
            "comparison": _document("comparison", judgement.comparison),
            "measures": _document("measures", judgement.measures),
            "reference": _document("reference", judgement.reference),
            "made_by": _document("made_by", judgement.made_by),
            "reason": None if judgement.reason is None else checks.message(judgement.reason)[:MAX_ERROR],
        }
        with self._database.write() as connection:
            row = _locked(connection, ended)
            if row is None:
                return False
            now = float(connection.execute(select(db_now())).scalar_one())
            written = update(scheduled_run).where(scheduled_run.c.seq == row.seq)
            connection.execute(written.values(**values, judged_at=now))
            if judgement.state is RunState.FAILED:
                announce_failure(connection, row.seq)
            elif judgement.comparison is not None and not _is_overtaken(connection, row):
                _update_alerts(connection, row, judgement.comparison["measures"], now)
            return True


def announce_failure(connection: Connection, run_seq: int) -> None:
    """Tell the webhooks that want to hear of it that a run of a schedule failed, when this transaction commits."""
    run = connection.execute(_told_runs().where(scheduled_run.c.seq == run_seq)).one()
    hearing = hearing_of(connection, RUN_FAILED, run.webhooks)
    if hearing:
        post(connection, hearing, RUN_FAILED, {**_run_values(run), "reason": run.reason})


def _locked(connection: Connection, ended: EndedRun) -> AnyRow | None:
    """Return a run that is still to be judged, held with its schedule and its job; in the order of those who delete."""
    owner = select(schedule.c.seq).where(schedule.c.id == ended.schedule_id)
    if connection.execute(owner.with_for_update()).first() is None:
        return None
    if ended.job_id is not None:
        unchanged = job.c.id == ended.job_id, job.c.revision == ended.job_revision
        if connection.execute(select(job.c.seq).where(*unchanged).with_for_update(read=True)).first() is None:
            return None
    unsettled = scheduled_run.c.id == ended.id, scheduled_run.c.state != str(RunState.JUDGED)
    statement = select(scheduled_run.c.seq, scheduled_run.c.schedule_seq, scheduled_run.c.state, job.c.id.label("job"))
    statement = statement.outerjoin(job, job.c.seq == scheduled_run.c.job_seq).where(*unsettled)
    row = connection.execute(statement.with_for_update(of=scheduled_run)).one_or_none()
    if row is None or row.job != ended.job_id:
        return None
    return row


def _is_overtaken(connection: Connection, run: AnyRow) -> bool:
    later = and_(
        scheduled_run.c.schedule_seq == run.schedule_seq,
        scheduled_run.c.seq > run.seq,
        scheduled_run.c.state == str(RunState.JUDGED),
    )
    return bool(connection.execute(select(exists().where(later))).scalar_one())


def _update_alerts(connection: Connection, run: AnyRow, changes: Sequence[Measure], now: float) -> None:
    living = alert.c.schedule_seq == run.schedule_seq, alert.c.state != str(AlertState.CLOSED)
    rows = connection.execute(select(alert).where(*living).order_by(alert.c.seq).with_for_update()).all()
    known = {(row.task, row.optimizer): row for row in rows}
    found: dict[tuple[str, str], list[Measure]] = {}
    for change in changes:
        found.setdefault((change["task"], change["optimizer"]), []).append(change)
    for key, measures in found.items():
        row = known.get(key)
        held = after_run(() if row is None else row.measures, measures)
        if row is not None:
            _go_on(connection, row, run, held, now)
        elif held:
            _open(connection, key, run, held, now)


def _open(connection: Connection, key: tuple[str, str], run: AnyRow, held: Sequence[Measure], now: float) -> None:
    values = {
        "id": new_id(),
        "schedule_seq": run.schedule_seq,
        "task": key[0],
        "optimizer": key[1],
        "state": str(AlertState.OPEN),
        "measures": list(held),
        "first_run_seq": run.seq,
        "last_run_seq": run.seq,
        "opened_at": now,
    }
    seq = connection.execute(insert(alert).values(**values).returning(alert.c.seq)).scalar_one()
    _announce(connection, ALERT_OPENED, seq, run.seq)


def _go_on(connection: Connection, row: AnyRow, run: AnyRow, held: Sequence[Measure], now: float) -> None:
    values: dict[str, Any] = {"measures": list(held), "last_run_seq": run.seq}
    over = is_over(held)
    if over:
        values |= {"state": str(AlertState.CLOSED), "closed_at": now}
    connection.execute(update(alert).where(alert.c.seq == row.seq).values(**values))
    if over:
        _announce(connection, ALERT_CLOSED, row.seq, run.seq)


def _announce(connection: Connection, event: str, alert_seq: int, run_seq: int) -> None:
    run = connection.execute(_told_runs().where(scheduled_run.c.seq == run_seq)).one()
    hearing = hearing_of(connection, event, run.webhooks)
    if hearing:
        found = alert_from_row(connection.execute(select_alerts().where(alert.c.seq == alert_seq)).mappings().one())
        post(connection, hearing, event, {**_run_values(run), "verdict": run.verdict, "alert": alert_values(found)})


def _told_runs() -> Select[Any]:
    trained, compared = job.alias("trained"), job.alias("compared")
    columns = (
        *(scheduled_run.c[name] for name in ("id", "due_at", "verdict", "reason", "made_by", "baseline_name")),
        trained.c.id.label("job_id"),
        compared.c.id.label("baseline_job_id"),
        schedule.c.id.label("schedule_id"),
        schedule.c.name.label("schedule_name"),
        schedule.c.webhooks,
    )
    joined = scheduled_run.join(schedule).outerjoin(trained, trained.c.seq == scheduled_run.c.job_seq)
    return select(*columns).select_from(joined.outerjoin(compared, compared.c.seq == scheduled_run.c.baseline_job_seq))


def _run_values(run: AnyRow) -> dict[str, Any]:
    return {
        "schedule": {"id": run.schedule_id, "name": run.schedule_name},
        "run": {
            "id": run.id,
            "due_at": time_text(run.due_at),
            "job_id": run.job_id,
            "baseline_job_id": run.baseline_job_id,
            "baseline_name": run.baseline_name,
            "made_by": run.made_by,
        },
    }


def _document(name: str, value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else checks.document(name, value)
