"""Tallying: how far jobs are, from the counts of their links."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from benchmark.records import Status
from service.store.entities import Progress
from service.store.tables import fingerprint, job, tally


def count_progress(connection: Connection, job_ids: Collection[str]) -> dict[str, Progress]:
    """Return how far jobs are, by their ids; ids without a job are left out."""
    columns = (job.c.seq, job.c.id, job.c.n_cells, job.c.n_before, job.c.first_record_at, job.c.last_record_at)
    jobs = connection.execute(select(*columns).where(job.c.id.in_(job_ids))).all()
    counted: dict[int, dict[str, int]] = {row.seq: {} for row in jobs}
    fingerprints: dict[int, set[str]] = {row.seq: set() for row in jobs}
    counts = select(tally, fingerprint.c.key).join(fingerprint).where(tally.c.job_seq.in_(counted), tally.c.n > 0)
    for row in connection.execute(counts):
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
            **counted[row.seq],
        )
        for row in jobs
    }
