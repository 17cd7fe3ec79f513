"""Pruning: what ended long ago is deleted in short transactions, so that whoever works beside it hardly waits."""

import contextlib
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, Delete, and_, delete, exists, func, select, text

from service.states import JobState
from service.store import checks
from service.store.choosing import choosing_schedules
from service.store.entities import Prunable, PrunableJob, Space
from service.store.errors import UnavailableError
from service.store.jobs import RECORDS_LOCK
from service.store.part import IN_CHUNK, Part, chunks, known_form
from service.store.regression_tables import baseline
from service.store.reserving import IDEMPOTENCY_KEPT_S
from service.store.tables import db_now, idempotency, job, link, origin, record

SMALL_FILE_BYTES = 64 * 1024**2  # a file up to this size is written anew in well under a second
WORTHWHILE_SHARE = 0.1
_ENDED = tuple(str(state) for state in JobState if state.is_terminal)


class Pruning(Part):
    """Deleting what is old, step by step; a step that is interrupted is made up for by the next call."""

    def prunable(self, older_than_s: float) -> Prunable:
        """Return what pruning would delete now, changing nothing.

        Args:
            older_than_s: only jobs that ended longer ago than this, by the database's clock.
        """
        with self._database.read() as connection:
            now = float(connection.execute(select(db_now())).scalar_one())
            before = now - checks.seconds("older_than_s", older_than_s)
            is_old = _is_old(connection, before)
            columns = (job.c.id, job.c.name, job.c.state, job.c.finished_at)
            rows = connection.execute(select(*columns).where(is_old).order_by(job.c.finished_at)).all()
            jobs = [PrunableJob(row.id, row.name, JobState(row.state), now - row.finished_at) for row in rows]
            stays = ~is_old
            without_job = select(origin.c.seq).where(~exists().where(job.c.id == origin.c.job_id, stays))
            used = exists().where(link.c.record_seq == record.c.seq, link.c.job_seq == job.c.seq, stays)
            records = select(func.count()).select_from(record).where(record.c.origin_seq.in_(without_job), ~used)
            keys = select(func.count()).select_from(idempotency)
            theirs = exists().where(job.c.id == idempotency.c.resource_id, is_old)
            return Prunable(
                before=before,
                jobs=tuple(jobs),
                n_records=int(connection.execute(records).scalar_one()),
                n_keys=int(connection.execute(keys.where(_is_stale() | theirs)).scalar_one()),
            )

    def prune_job(self, job_id: str, before: float) -> bool:
        """Delete a job that ended before a time, its links and its keys; its records are left for `prune_records`.

        Returns:
            Whether it was deleted: not where somebody has queued it again, deleted it first, or needs it.
        """
        mine = job.c.id == known_form(job_id)
        with self._database.write() as connection:
            # whoever names it a baseline, or compares with it, holds its row, and is seen by the statement after this
            seq = connection.execute(select(job.c.seq).where(mine).with_for_update()).scalar_one_or_none()
            if seq is None or not _deleted(connection, delete(job).where(mine, _is_old(connection, before, seq))):
                return False
            connection.execute(delete(idempotency).where(idempotency.c.resource_id == job_id))
            return True

    def prune_records(self) -> Iterator[int]:
        """Delete the records that no job uses and whose own job is gone; yield their number after each transaction."""
        without_job = select(origin.c.seq).where(~exists().where(job.c.id == origin.c.job_id)).order_by(origin.c.seq)
        with self._database.read() as connection:
            origins = connection.execute(without_job).scalars().all()
        for seq in origins:
            unused = select(record.c.seq).where(record.c.origin_seq == seq, _is_unused())
            with self._database.read() as connection:
                found = connection.execute(unused).scalars().all()
            for some in chunks(found, IN_CHUNK):
                yield self._delete_unused(some)
        for some in chunks(origins, IN_CHUNK):
            empty = and_(origin.c.seq.in_(some), ~exists().where(record.c.origin_seq == origin.c.seq))
            with self._database.write() as connection:
                connection.execute(delete(origin).where(empty))

    def prune_keys(self) -> int:
        """Delete the idempotency keys that nobody can repeat any more; return their number."""
        with self._database.write() as connection:
            return _deleted(connection, delete(idempotency).where(_is_stale()))

    def reclaim(self) -> Space | None:
        """Give the free part of a SQLite file back where that is quick: where the file is small and nobody is in it.

        Returns:
            The size of the file before and now; None on PostgreSQL, which sees to it by itself.
        """
        if not self._database.is_sqlite:
            return None
        before, free = self._size()
        if before <= SMALL_FILE_BYTES and free >= WORTHWHILE_SHARE * before:
            with contextlib.suppress(UnavailableError):  # in use; what is free is used again by the next records
                self._database.rewrite()
        after, free = self._size()
        return Space(before_bytes=before, after_bytes=after, free_bytes=free)

    def _delete_unused(self, seqs: Sequence[int]) -> int:
        with self._database.write() as connection:
            self._database.lock(connection, RECORDS_LOCK)  # nobody links to them between the look and the end of this
            return _deleted(connection, delete(record).where(record.c.seq.in_(seqs), _is_unused()))

    def _size(self) -> tuple[int, int]:
        with self._database.read() as connection:
            page, n_pages, n_free = (
                int(connection.execute(text(f"PRAGMA {name}")).scalar_one())
                for name in ("page_size", "page_count", "freelist_count")
            )
        return page * n_pages, page * n_free


def _is_old(connection: Connection, before: float, seq: int | None = None) -> ColumnElement[bool]:
    """Whether a job ended before a time and nothing keeps it: no baseline names it, and no schedule needs it.

    With `seq` it is right for the job of that number alone, and asks of its schedules alone.
    """
    named = exists().where(baseline.c.job_seq == job.c.seq)
    needed = job.c.seq.in_(choosing_schedules(connection, seq))
    return and_(job.c.state.in_(_ENDED), job.c.finished_at < before, ~named, ~needed)


def _is_stale() -> ColumnElement[bool]:
    return idempotency.c.created_at < db_now() - IDEMPOTENCY_KEPT_S


def _is_unused() -> ColumnElement[bool]:
    return ~exists().where(link.c.record_seq == record.c.seq)


def _deleted(connection: Connection, statement: Delete) -> int:
    return connection.execute(statement).rowcount
