"""Watching which jobs change: one cheap look for all who watch, however many they are."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, or_, select

from service.states import JobState
from service.store.part import IN_CHUNK, Part, chunks, known_form
from service.store.tables import job

ACTIVE = tuple(str(state) for state in JobState if not state.is_terminal)


class Revisions(NamedTuple):
    """What a look found.

    Attributes:
        of: revisions of jobs, by id.
        newest: the largest `seq` of any job so far.
    """

    of: dict[str, int]
    newest: int


class Watching(Part):
    """Looking for changes."""

    def revisions(self, job_ids: Collection[str], since: int | None = None) -> Revisions:
        """Return the revisions of all jobs that have not ended, of those asked for, and of those made since.

        Args:
            job_ids: those asked for; of one that is gone there is none.
            since: `newest` of the last look; None for the first.
        """
        columns = (job.c.id, job.c.revision)
        is_active = job.c.state.in_(ACTIVE)
        wanted = is_active if since is None else or_(is_active, job.c.seq > since)
        with self._database.read() as connection:
            newest = connection.execute(select(func.coalesce(func.max(job.c.seq), 0))).scalar_one()
            found = {row.id: row.revision for row in connection.execute(select(*columns).where(wanted))}
            for chunk in chunks([known_form(job_id) for job_id in job_ids if job_id not in found], IN_CHUNK):
                found.update(
                    (row.id, row.revision) for row in connection.execute(select(*columns).where(job.c.id.in_(chunk)))
                )
        return Revisions(found, max(newest, since or 0))
