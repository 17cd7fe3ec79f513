"""Dispatchers: the processes that run jobs report here what they are and what they do."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

from service.store import checks
from service.store.entities import Dispatcher, Ownership
from service.store.part import Part, insert_into, known_form
from service.store.tables import db_now, dispatcher, job

SILENT_S = 30 * 86_400  # one that was killed cannot say so: after a month its row tells nobody anything


class Dispatchers(Part):
    """Reports of dispatchers."""

    def report_dispatcher(
        self,
        dispatcher_id: str,
        host: str,
        pid: int,
        version: str,
        resources: Mapping[str, Any],
        job_id: str | None = None,
        *,
        claims: bool = True,
    ) -> None:
        """Say that a dispatcher is alive, what it has, and which job it runs; forget those silent for a month.

        One that does not claim jobs just now, since its machine could not run the last one, is no help to those that
        wait.
        """
        values = {
            "host": checks.text("host", host),
            "pid": checks.integer("pid", pid, high=checks.MAX_BIG),
            "version": checks.text("version", version),
            "resources": checks.document("resources", resources),
            "claims": claims,
            "heartbeat": db_now(),
            "job_id": job_id and known_form(job_id),
        }
        identity = checks.text("dispatcher_id", dispatcher_id, limit=checks.MAX_LABEL)
        with self._database.write() as connection:
            statement = insert_into(connection, dispatcher).values(id=identity, started_at=db_now(), **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
            connection.execute(delete(dispatcher).where(dispatcher.c.heartbeat < db_now() - SILENT_S))

    def dispatchers(self, alive_within_s: float) -> list[Dispatcher]:
        """Return the dispatchers that reported within so many seconds, by their ids."""
        age = db_now() - dispatcher.c.heartbeat
        alive = age <= checks.seconds("alive_within_s", alive_within_s)
        statement = select(dispatcher, age.label("age_s")).where(alive).order_by(dispatcher.c.id)
        with self._database.read() as connection:
            return [Dispatcher(**row) for row in connection.execute(statement).mappings()]

    def ownership(self, job_id: str) -> Ownership | None:
        """Return who runs a job; None when nobody does, or none has that id."""
        left = (job.c.lease_until - db_now()).label("lease_left_s")
        age = (db_now() - dispatcher.c.heartbeat).label("heartbeat_age_s")
        statement = select(job.c.owner, left, age).outerjoin_from(job, dispatcher, dispatcher.c.id == job.c.owner)
        owned = (job.c.id == known_form(job_id), job.c.owner.is_not(None))
        with self._database.read() as connection:
            row = connection.execute(statement.where(*owned)).mappings().one_or_none()
            return None if row is None else Ownership(**row)

    def forget_dispatcher(self, dispatcher_id: str) -> None:
        """Remove a dispatcher that ended; nothing happens if it is not there."""
        identity = checks.text("dispatcher_id", dispatcher_id, limit=checks.MAX_LABEL)
        with self._database.write() as connection:
            connection.execute(delete(dispatcher).where(dispatcher.c.id == identity))
