"""Tallying: how far jobs are, from the counts of their links."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from benchmark.records import Status
from service.store.entities import Job, Progress
from service.store.in_flight import InFlight
from service.store.tables import fingerprint, job, tally

_Row = Row[*tuple[Any, ...]]
_COUNTS = (
    select(tally, fingerprint.c.key)
    .join(fingerprint)
    .where(tally.c.job_seq.in_(bindparam("job_seqs", expanding=True)), tally.c.n > 0)
)
_COLUMNS = select(
    *(job.c[name] for name in ("seq", "id", "n_cells", "n_before", "first_record_at", "last_record_at", "in_flight"))
)


def count_progress(connection: Connection, job_ids: Collection[str]) -> dict[str, Progress]:
    """Return how far jobs are, by their ids; ids without a job are left out."""
    return progress_of_jobs(connection, connection.execute(_COLUMNS.where(job.c.id.in_(job_ids))).all())


def progress_of_jobs(connection: Connection, jobs: Collection[Job | _Row]) -> dict[str, Progress]:
    """Return how far jobs are, by their ids.

    Args:
        connection: the transaction.
        jobs: jobs, or rows with what of them counts.
    """
    counted: dict[int, dict[str, int]] = {row.seq: {} for row in jobs}
    fingerprints: dict[int, set[str]] = {row.seq: set() for row in jobs}
    for row in connection.execute(_COUNTS, {"job_seqs": list(counted)}):
        fingerprints[row.job_seq].add(row.key)
        names = [
            str(Status(row.status)),
            *(["collapsed"] if row.collapsed else []),
            *(["reused"] if row.reused else []),
        ]
        for name in names:
            counted[row.job_seq][name] = counted[row.job_seq].get(name, 0) + row.n
    return {
        row.id: Progress(
            total=row.n_cells,
            n_before=row.n_before,
            first_record_at=row.first_record_at,
            last_record_at=row.last_record_at,
            fingerprints=tuple(sorted(fingerprints[row.seq])),
            in_flight=row.in_flight if isinstance(row, Job) else InFlight.from_dict(row.in_flight),
            **counted[row.seq],
        )
        for row in jobs
    }
