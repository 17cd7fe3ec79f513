"""Reading records: page by page or as a stream, and the documents behind their keys."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, or_, select

from benchmark.records import Status
from service.store import checks
from service.store.entities import StoredRecord
from service.store.errors import InvalidValueError, NotFoundError
from service.store.part import Part, job_seq, read_job
from service.store.rows import record_from_row
from service.store.tables import fingerprint, key_bytes, label, link, origin, record, setting

STREAM_PAGE = 500


class Reading(Part):
    """Reading records and what they refer to."""

    def records(
        self,
        job_id: str,
        after: str | None = None,
        limit: int = 100,
        status: Status | None = None,
        optimizer: str | None = None,
        task: str | None = None,
        *,
        curves: bool = True,
    ) -> list[StoredRecord]:
        """Return the records that a job uses, by config_key.

        Args:
            job_id: the job.
            after: only those after this config_key, to go on after the last one of a page.
            limit: at most so many.
            status: only those that ended so.
            optimizer: only those of the optimizer with this label.
            task: only those of the task with this label.
            curves: whether the curves are read.

        Raises:
            NotFoundError: if there is no such job.
        """
        with self._database.read() as connection:
            statement = _records(job_id, curves=curves).where(link.c.job_seq == job_seq(connection, job_id))
            statement = page_of_links(statement, after, limit, status, optimizer, task)
            return [self._stored(connection, row) for row in connection.execute(statement).mappings()]

    def iter_records(self, job_id: str, *, curves: bool = True) -> Iterator[StoredRecord]:
        """Yield the records that a job uses, by config_key, holding one page and no transaction between pages.

        Raises:
            NotFoundError: if there is no such job.
        """
        after = None
        while page := self.records(job_id, after, STREAM_PAGE, curves=curves):
            yield from page
            after = page[-1].record.config_key

    def record(self, record_id: str) -> StoredRecord:
        """Return a record.

        Raises:
            NotFoundError: if there is none of that id.
        """
        try:
            key_bytes(record_id)
        except InvalidValueError:
            raise NotFoundError(f"there is no record {record_id!r}.") from None
        with self._database.read() as connection:
            row = connection.execute(_plain_records().where(record.c.id == record_id)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"there is no record {record_id!r}.")
            return self._stored(connection, row)

    def done_keys(self, job_id: str) -> set[str]:
        """Return the cells that a job need not train: completed, diverged, or timed out since its last retry.

        Raises:
            NotFoundError: if there is no such job.
        """
        return self._linked_keys(job_id, (Status.COMPLETED, Status.DIVERGED), (Status.TIMED_OUT,))

    def failed_keys(self, job_id: str) -> set[str]:
        """Return the cells of a job that failed since its last retry; raises as `done_keys` does."""
        return self._linked_keys(job_id, (), (Status.FAILED,))

    def settings(self, keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the documents of settings; keys that are not known are left out."""
        with self._database.read() as connection:
            return self._settings.documents(connection, keys)

    def fingerprints(self, keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the documents of fingerprints; keys that are not known are left out."""
        with self._database.read() as connection:
            return self._fingerprints.documents(connection, keys)

    def _linked_keys(self, job_id: str, ever: Collection[Status], lately: Collection[Status]) -> set[str]:
        with self._database.read() as connection:
            found = read_job(connection, job_id)
            since_retry = or_(origin.c.job_id != job_id, origin.c.attempt > found.retried_after)
            fitting = or_(
                record.c.status.in_([str(status) for status in ever]),
                and_(record.c.status.in_([str(status) for status in lately]), since_retry),
            )
            statement = (
                select(link.c.config_key)
                .join_from(link, record)
                .join(origin)
                .where(link.c.job_seq == found.seq, fitting)
            )
            return set(connection.execute(statement).scalars())

    def _stored(self, connection: Connection, row: RowMapping) -> StoredRecord:
        return StoredRecord(
            record=record_from_row(row, self._shapes.document(connection, row["shape_seq"])),
            job_id=row["job_id"],
            attempt=row["attempt"],
            created_at=row["created_at"],
            seq=row["seq"],
            task=row.get("task"),
            optimizer=row.get("optimizer"),
            reused=row.get("reused"),
        )


def page_of_links(
    statement: Select[Any],
    after: str | None,
    limit: int,
    status: Status | None,
    optimizer: str | None,
    task: str | None,
) -> Select[Any]:
    """Return a statement on links and their records that gives one page, by config_key, of what is asked for."""
    statement = statement.order_by(link.c.config_key).limit(checks.integer("limit", limit))
    if after is not None:
        statement = statement.where(link.c.config_key > after)
    if status is not None:
        statement = statement.where(record.c.status == str(status))
    if optimizer is not None:
        statement = statement.where(label.c.optimizer == checks.text("optimizer", optimizer))
    if task is not None:
        statement = statement.where(label.c.task == checks.text("task", task))
    return statement


def _plain_records(*, curves: bool = True) -> Select[Any]:
    columns = [column for column in record.c if curves or column is not record.c.curve]
    keys = (fingerprint.c.key.label("fingerprint"), setting.c.key.label("setting"))
    whence = (origin.c.job_id, origin.c.attempt)
    return select(*columns, *keys, *whence).join_from(record, fingerprint).join(setting).join(origin)


def _records(job_id: str, *, curves: bool) -> Select[Any]:
    labels = (label.c.task, label.c.optimizer, (origin.c.job_id != job_id).label("reused"))
    joined = _plain_records(curves=curves).join(link, link.c.record_seq == record.c.seq).join(label)
    return joined.add_columns(*labels)
