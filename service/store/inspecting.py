"""Looking whether the store is well; nothing is changed."""

from sqlalchemy import select, text

from service.states import JobState
from service.store import migrate
from service.store.entities import Job
from service.store.part import Part, job_from_row
from service.store.tables import db_now, job


class Inspecting(Part):
    """What a check-up asks the store."""

    def lapsed_jobs(self) -> list[Job]:
        """Return the running jobs whose lease ran out and that nobody has taken over yet, oldest first."""
        lapsed = (job.c.state == str(JobState.RUNNING), job.c.lease_until <= db_now())
        with self._database.read() as connection:
            rows = connection.execute(select(job).where(*lapsed).order_by(job.c.seq)).mappings()
            return [job_from_row(row) for row in rows]

    def require_schema(self) -> None:
        """Raise SchemaError unless the database still has the schema that this version needs."""
        migrate.require_schema(self._database)

    def damage(self) -> list[str] | None:
        """Return what is damaged in a SQLite file, after a quick look through all of it; None on PostgreSQL."""
        if not self._database.is_sqlite:
            return None
        with self._database.read() as connection:
            found = connection.execute(text("PRAGMA quick_check")).scalars()
            return [str(line) for line in found if line != "ok"]
