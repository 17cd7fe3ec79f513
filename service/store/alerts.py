"""Alerts: what has become worse in the runs of schedules, and who knows of it."""

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, func, select, update

from service.store import checks
from service.store.alert_entities import Alert
from service.store.errors import ConflictError, NotFoundError
from service.store.part import Part, newest_page
from service.store.regression_entities import AlertState
from service.store.regression_tables import alert, schedule, scheduled_run
from service.store.tables import db_now, job
from service.summary import time_text

MAX_NOTE = 2_000


class Alerts(Part):
    """Finding alerts and acknowledging them."""

    def alert(self, alert_id: str) -> Alert:
        """Return an alert.

        Raises:
            NotFoundError: if there is none of that id.
        """
        statement = select_alerts().where(alert.c.id == checks.text("the id of an alert", alert_id))
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no alert {alert_id!r}.")
        return alert_from_row(row)

    def alerts(
        self,
        limit: int = 50,
        before: int | None = None,
        *,
        states: tuple[AlertState, ...] = (),
        schedule_id: str | None = None,
    ) -> list[Alert]:
        """Return alerts, newest first.

        Args:
            limit: at most so many.
            before: only those that were opened before the one with this `seq`, to go on after the last one of a list.
            states: only those in one of these; in any if none is given.
            schedule_id: only those of the schedule of this id or name.
        """
        statement = newest_page(select_alerts(), alert.c.seq, limit, before)
        if states:
            statement = statement.where(alert.c.state.in_([str(state) for state in states]))
        if schedule_id is not None:
            statement = statement.where(_is_of(schedule_id))
        with self._database.read() as connection:
            return [alert_from_row(row) for row in connection.execute(statement).mappings()]

    def count_alerts(self, schedule_id: str | None = None) -> dict[AlertState, int]:
        """Return how many alerts are in each state; those of the schedule of an id or name, if one is given."""
        statement = select(alert.c.state, func.count()).select_from(alert.join(schedule)).group_by(alert.c.state)
        if schedule_id is not None:
            statement = statement.where(_is_of(schedule_id))
        with self._database.read() as connection:
            counts = {str(state): int(count) for state, count in connection.execute(statement)}
        return {state: counts.get(str(state), 0) for state in AlertState}

    def acknowledge_alert(self, alert_id: str, note: str, *, principal: str = "local") -> Alert:
        """Say that somebody knows of an alert: it stays until it is over, and its runs count as successes.

        One that is acknowledged already gets the new note.

        Raises:
            NotFoundError: if there is none of that id.
            ConflictError: if it is closed.
            InvalidValueError: if the note cannot be kept.
        """
        values = {
            "state": str(AlertState.ACKNOWLEDGED),
            "note": checks.text("the note", note, limit=MAX_NOTE),
            "acknowledged_by": checks.text("principal", principal),
            "acknowledged_at": db_now(),
        }
        living = alert.c.id == checks.text("the id of an alert", alert_id), alert.c.state != str(AlertState.CLOSED)
        with self._database.write() as connection:
            changed = connection.execute(update(alert).where(*living).values(**values).returning(alert.c.seq)).first()
            row = connection.execute(select_alerts().where(alert.c.id == alert_id)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"there is no alert {alert_id!r}.")
            if changed is None:
                raise ConflictError(f"only an alert that lasts can be acknowledged, but alert {alert_id} is closed.")
            return alert_from_row(row)


def _is_of(schedule_id: str) -> ColumnElement[bool]:
    text = checks.text("the id of a schedule", schedule_id)
    return (schedule.c.id == text) | (schedule.c.name == text)


def select_alerts() -> Select[Any]:
    """Return a statement that gives alerts with the ids of what they refer to."""
    first, last = scheduled_run.alias("first_run"), scheduled_run.alias("last_run")
    columns: list[Any] = [alert.c[name] for name in Alert.__dataclass_fields__ if name in alert.c]
    columns += [schedule.c.id.label("schedule_id"), schedule.c.name.label("schedule_name")]
    columns += [first.c.id.label("first_run_id"), last.c.id.label("last_run_id"), last.c.baseline_name]
    joined: Any = alert.join(schedule).join(first, first.c.seq == alert.c.first_run_seq)
    joined = joined.join(last, last.c.seq == alert.c.last_run_seq)
    referred = {
        "first_job_id": first.c.job_seq,
        "job_id": last.c.job_seq,
        "baseline_job_id": last.c.baseline_job_seq,
    }
    for label, seq in referred.items():
        named = job.alias()
        columns.append(named.c.id.label(label))
        joined = joined.outerjoin(named, named.c.seq == seq)
    return select(*columns).select_from(joined)


def alert_from_row(row: RowMapping) -> Alert:
    """Return the alert of a row of `select_alerts`."""
    return Alert(**{**row, "state": AlertState(row["state"]), "measures": tuple(row["measures"])})


def alert_values(found: Alert) -> dict[str, Any]:
    """Return the values of an alert, as the API shows and webhooks tell them."""
    return {
        "id": found.id,
        "schedule_id": found.schedule_id,
        "schedule_name": found.schedule_name,
        "task": found.task,
        "optimizer": found.optimizer,
        "state": found.state,
        "measures": [dict(measure) for measure in found.measures],
        "first_run_id": found.first_run_id,
        "last_run_id": found.last_run_id,
        "first_job_id": found.first_job_id,
        "job_id": found.job_id,
        "baseline_job_id": found.baseline_job_id,
        "baseline_name": found.baseline_name,
        "opened_at": time_text(found.opened_at),
        "acknowledged_at": time_text(found.acknowledged_at),
        "acknowledged_by": found.acknowledged_by,
        "note": found.note,
        "closed_at": time_text(found.closed_at),
    }
