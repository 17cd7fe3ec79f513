"""Submitting jobs: checked, given a short id, and only once under an idempotency key."""

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, func, insert, select

from benchmark.canonical import content_hash
from service.keys import new_id
from service.states import JobState
from service.store import checks
from service.store.database import Database
from service.store.entities import Job, NewJob
from service.store.errors import QueueFullError
from service.store.part import Part, job_from_row, known_form, read_job
from service.store.reserving import reserve
from service.store.tables import db_now, facet, job

# what a job did not have in the first versions, where it says nothing
LATER: Mapping[str, Any] = MappingProxyType({"execution": {}, "replay": 0, "rerun": None})
SUBMIT_LOCK = 0x52486F35 << 32  # with a hash of the submitter in its lower half


class Submitting(Part):
    """Submitting jobs."""

    def submit(
        self,
        new: NewJob,
        *,
        principal: str = "local",
        idempotency_key: str | None = None,
        max_queued: int | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job.

        Args:
            new: what to run.
            principal: whose idempotency key it is.
            idempotency_key: under which a repeated call gives the job of the first one.
            max_queued: how many queued jobs the submitter may have with this one; any number when None.

        Returns:
            The job as it is now, and whether this call made it.

        Raises:
            IdempotencyConflictError: if the key was used with another body in the last 24 hours.
            InvalidValueError: if a value cannot be kept.
            QueueFullError: if the submitter has as many queued jobs as one may have.
        """
        values = checked_job(new)
        job_id = new_id()
        with self._database.write() as connection:
            if idempotency_key is not None:
                earlier = reserve(connection, principal, idempotency_key, _body(values), job_id)
                if earlier is not None:
                    return read_job(connection, earlier), False
            if max_queued is not None:
                require_room(self._database, connection, new.submitted_by, max_queued)
            created = queue_job(connection, values, job_id)
            return created, True


def queue_job(connection: Connection, values: Mapping[str, Any], job_id: str) -> Job:
    """Insert a job, which is queued when the transaction commits.

    Args:
        connection: the transaction.
        values: of `checked_job`.
        job_id: a new one.
    """
    statement = insert(job).values(
        id=job_id,
        state=str(JobState.QUEUED),
        attempt=0,
        retried_after=0,
        crashes=0,
        n_before=0,
        run_after=0.0,
        revision=1,
        created_at=db_now(),
        **values,
    )
    created = job_from_row(connection.execute(statement.returning(job)).mappings().one())
    write_facets(connection, created)
    return created


def checked_job(new: NewJob) -> dict[str, Any]:
    """Return the values of a job's columns; raises InvalidValueError for one that cannot be kept."""
    values = asdict(new)
    values["name"] = checks.text("name", new.name, limit=checks.MAX_LABEL)
    values["spec"] = checks.document("spec", new.spec)
    values["tags"] = [checks.text("a tag", tag, limit=checks.MAX_LABEL) for tag in new.tags]
    values["submitted_by"] = checks.text("submitted_by", new.submitted_by, limit=checks.MAX_LABEL)
    values["n_cells"] = checks.integer("n_cells", new.n_cells)
    values["priority"] = checks.integer("priority", new.priority, low=-checks.MAX_SMALL)
    values["max_crashes"] = checks.integer("max_crashes", new.max_crashes, low=1)
    values["execution"] = checks.document("execution", new.execution)
    values["replay"] = checks.integer("replay", new.replay)
    values["rerun_of"] = new.rerun_of and known_form(new.rerun_of)
    values["rerun"] = None if new.rerun is None else checks.document("rerun", new.rerun)
    return values


def _body(values: Mapping[str, Any]) -> str:
    """Return the hash of a job, which stays what an earlier version made of one that says nothing it did not know."""
    return content_hash({name: value for name, value in values.items() if name not in LATER or value != LATER[name]})


def require_room(
    database: Database, connection: Connection, submitted_by: str, max_queued: int, n_new: int = 1
) -> None:
    """Refuse new jobs of somebody who would have more in the queue than one may have.

    Raises:
        QueueFullError: if so.
    """
    # Two that count at once on PostgreSQL would each find room for one.
    database.lock(connection, SUBMIT_LOCK | zlib.crc32(submitted_by.encode()))
    theirs = job.c.state == str(JobState.QUEUED), job.c.submitted_by == submitted_by
    n_queued = connection.execute(select(func.count()).select_from(job).where(*theirs)).scalar_one()
    if n_queued + n_new > max_queued:
        raise QueueFullError(
            f"{submitted_by} may have at most {max_queued:,} queued jobs, and has {n_queued:,}: submit again when "
            "some of them have started, or cancel them."
        )


def write_facets(connection: Connection, created: Job) -> None:
    """Insert the words by which a job is found: its tags, and the names and labels of its tasks."""
    tasks = created.spec.get("tasks")
    entries = [entry for entry in tasks if isinstance(entry, Mapping)] if isinstance(tasks, list | tuple) else []
    words = {
        ("task", entry[word]) for entry in entries for word in ("name", "label") if isinstance(entry.get(word), str)
    }
    words |= {("tag", tag) for tag in created.tags}
    rows = [
        {"job_seq": created.seq, "kind": kind, "value": checks.text(f"a {kind}", value, limit=checks.MAX_LABEL)}
        for kind, value in sorted(words)
    ]
    if rows:
        connection.execute(insert(facet), rows)
