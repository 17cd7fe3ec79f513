"""Schedules: what is run again and again, when, and what it is compared with."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, or_, select, update

from benchmark.canonical import content_hash
from service.keys import new_id
from service.schedules.cron import Cron, moment
from service.store import checks
from service.store.errors import ConflictError, InvalidValueError, NotFoundError
from service.store.part import Part, insert_into, oldest_page
from service.store.regression_tables import baseline, schedule, scheduled_run
from service.store.reserving import reserve
from service.store.schedule_entities import SCHEDULE_NAME, BaselinePolicy, NewSchedule, Schedule, Thresholds
from service.store.tables import db_now, idempotency
from service.store.webhook_tables import webhook

MAX_SCHEDULES = 1_000  # each may keep the queue busy by itself
_CHANGEABLE = frozenset({"cron", "timezone", "spec", "n_cells", "policy", "thresholds", "webhooks"})


class Schedules(Part):
    """Making, changing, pausing and deleting schedules. Where one is asked for, its id or its name will do."""

    def create_schedule(
        self, new: NewSchedule, *, principal: str = "local", idempotency_key: str | None = None
    ) -> tuple[Schedule, bool]:
        """Make a schedule; its first run is due at the next time that its expression names.

        Args:
            new: what it is.
            principal: who makes it, submits its jobs, and whose idempotency key it is.
            idempotency_key: under which a repeated call gives the schedule of the first one.

        Returns:
            The schedule as it is now, and whether this call made it.

        Raises:
            ScheduleError: if its expression or its time zone is none.
            ConflictError: if there is one of that name, or no room for another one.
            IdempotencyConflictError: if the key was used with another body in the last 24 hours.
            InvalidValueError: if a value cannot be kept, or its baseline or a webhook is not there.
        """
        cron = Cron(new.cron, new.timezone)
        values = _checked({name: getattr(new, name) for name in ("name", *_CHANGEABLE)})
        schedule_id = new_id()
        with self._database.write() as connection:
            if idempotency_key is not None:
                body = content_hash({"kind": "schedule", **values})
                earlier = reserve(connection, principal, idempotency_key, body, schedule_id)
                if earlier is not None:
                    return read_schedule(connection, earlier), False
            if connection.execute(select(schedule.c.seq).where(schedule.c.name == new.name)).first() is not None:
                raise _taken(new.name)
            if connection.execute(select(func.count()).select_from(schedule)).scalar_one() >= MAX_SCHEDULES:
                raise ConflictError(f"there may be {MAX_SCHEDULES:,} schedules, and there are; delete one first.")
            _require_there(connection, values)
            statement = insert_into(connection, schedule).values(
                id=schedule_id,
                next_due_at=_next_due_at(connection, cron),
                revision=1,
                created_at=db_now(),
                created_by=checks.text("principal", principal, limit=checks.MAX_LABEL),
                **values,
            )
            made = statement.on_conflict_do_nothing(index_elements=["name"]).returning(schedule)
            row = connection.execute(made).mappings().one_or_none()
            if row is None:  # somebody else made it since the look
                raise _taken(new.name)
            return schedule_from_row(row), True

    def schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule; raises NotFoundError if there is none of that id or name."""
        with self._database.read() as connection:
            return read_schedule(connection, schedule_id)

    def schedules(self, limit: int = 50, after: int = 0) -> list[Schedule]:
        """Return schedules, oldest first, at most `limit` of those made after the one with the `seq` of `after`."""
        statement = oldest_page(select(schedule), schedule.c.seq, limit, after)
        with self._database.read() as connection:
            return [schedule_from_row(row) for row in connection.execute(statement).mappings()]

    def change_schedule(self, schedule_id: str, changes: Mapping[str, Any]) -> Schedule:
        """Change values of a schedule, by the names of `NewSchedule` but its name; a run under way goes on as it began.

        Raises:
            NotFoundError: if there is none of that id or name.
            ScheduleError: if its expression or its time zone is none.
            InvalidValueError: if a value cannot be kept, or its baseline or a webhook is not there.
        """
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown:
            raise InvalidValueError(f"{unknown[0]} of a schedule cannot be changed.")
        values = _checked(changes)
        with self._database.write() as connection:
            found = read_schedule(connection, schedule_id, lock=True)
            if not values:
                return found
            _require_there(connection, values)
            if values.keys() & {"cron", "timezone"}:
                cron = Cron(values.get("cron", found.cron), values.get("timezone", found.timezone))
                if not found.is_paused:
                    values["next_due_at"] = _next_due_at(connection, cron)
            return _changed(connection, found, values)

    def pause_schedule(self, schedule_id: str) -> Schedule:
        """Let no run be due until somebody resumes it; one under way goes on. Raises NotFoundError."""
        with self._database.write() as connection:
            found = read_schedule(connection, schedule_id, lock=True)
            return found if found.is_paused else _changed(connection, found, {"next_due_at": None})

    def resume_schedule(self, schedule_id: str) -> Schedule:
        """Let runs be due again, from the next time on: what was due meanwhile is not made up for.

        Raises:
            NotFoundError: if there is none of that id or name.
        """
        with self._database.write() as connection:
            found = read_schedule(connection, schedule_id, lock=True)
            if not found.is_paused:
                return found
            due = _next_due_at(connection, Cron(found.cron, found.timezone))
            return _changed(connection, found, {"next_due_at": due})

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule with its history and its alerts; its jobs stay. Raises NotFoundError."""
        with self._database.write() as connection:
            found = read_schedule(connection, schedule_id, lock=True)
            runs = select(scheduled_run.c.id).where(scheduled_run.c.schedule_seq == found.seq)
            theirs = or_(idempotency.c.resource_id == found.id, idempotency.c.resource_id.in_(runs))
            connection.execute(delete(idempotency).where(theirs))
            connection.execute(delete(schedule).where(schedule.c.seq == found.seq))


def schedule_from_row(row: RowMapping) -> Schedule:
    """Return the schedule of a row with all columns of its table."""
    return Schedule(
        **{
            **row,
            "policy": BaselinePolicy.from_dict(row["policy"]),
            "thresholds": Thresholds.from_dict(row["thresholds"]),
            "webhooks": None if row["webhooks"] is None else tuple(row["webhooks"]),
        }
    )


def read_schedule(connection: Connection, schedule_id: str, *, lock: bool = False) -> Schedule:
    """Return a schedule by its id or its name, locked against other writers on demand.

    Raises:
        NotFoundError: if there is none.
    """
    text = checks.text("the id of a schedule", schedule_id)
    statement = select(schedule).where(or_(schedule.c.id == text, schedule.c.name == text))
    statement = statement.order_by(schedule.c.id != text).limit(1)  # nobody takes the place of an id by a name
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no schedule {schedule_id!r}.")
    return schedule_from_row(row)


def _changed(connection: Connection, found: Schedule, values: Mapping[str, Any]) -> Schedule:
    statement = update(schedule).where(schedule.c.seq == found.seq)
    statement = statement.values(**values, revision=schedule.c.revision + 1)
    return schedule_from_row(connection.execute(statement.returning(schedule)).mappings().one())


def _taken(name: str) -> ConflictError:
    return ConflictError(f"there is a schedule {name!r}; delete it first, or take another name.")


def _next_due_at(connection: Connection, cron: Cron) -> float:
    now = float(connection.execute(select(db_now())).scalar_one())
    return cron.next_due(moment(now)).timestamp()


def _require_there(connection: Connection, values: Mapping[str, Any]) -> None:
    """Refuse a schedule whose named baseline, or one of whose webhooks, is not there."""
    name = values.get("policy", {}).get("name")
    if name is not None and connection.execute(select(baseline.c.seq).where(baseline.c.name == name)).first() is None:
        raise InvalidValueError(f"the baseline of a schedule must be there, but there is no baseline {name!r}.")
    wanted = values.get("webhooks") or ()
    known = set(connection.execute(select(webhook.c.id).where(webhook.c.id.in_(wanted))).scalars()) if wanted else set()
    for webhook_id in wanted:
        if webhook_id not in known:
            raise InvalidValueError(
                f"the webhooks of a schedule must be there, but there is no webhook {webhook_id!r}."
            )


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(values)
    if not re.fullmatch(SCHEDULE_NAME, checked.get("name", "x")):
        raise InvalidValueError(
            f"the name of a schedule must match {SCHEDULE_NAME}, but got {checked['name'][:200]!r}."
        )
    for name, limit in (("cron", checks.MAX_LABEL), ("timezone", 100)):
        if name in checked:
            checked[name] = checks.text(name, checked[name], limit=limit)
    if "spec" in checked:
        checked["spec"] = checks.document("spec", checked["spec"])
    if "n_cells" in checked:
        checked["n_cells"] = checks.integer("n_cells", checked["n_cells"], low=1)
    for name in ("policy", "thresholds"):
        if name in checked:
            checked[name] = checks.document(name, checked[name].to_dict())
    if checked.get("webhooks") is not None:
        checked["webhooks"] = [
            checks.text("the id of a webhook", one, limit=checks.MAX_LABEL) for one in checked["webhooks"]
        ]
    return checked
