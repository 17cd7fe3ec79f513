"""Reading records: page by page or as a stream, and the documents behind their keys."""

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, null, or_, select

from benchmark.records import Status
from service.store import checks
from service.store.entities import EVERY, RecordFilter, StoredRecord
from service.store.errors import InvalidValueError, NotFoundError
from service.store.part import Part, job_seq, read_job
from service.store.rows import parts_of_rows, record_of
from service.store.tables import fingerprint, key_bytes, label, link, origin, record, setting

STREAM_PAGE = 500


class Reading(Part):
    """Reading records and what they refer to."""

    def records(
        self,
        job_id: str,
        after: str | None = None,
        limit: int = 100,
        which: RecordFilter = EVERY,
        *,
        curves: bool = True,
    ) -> list[StoredRecord]:
        """Return the records that a job uses, by config_key.

        Args:
            job_id: the job.
            after: only those after this config_key, to go on after the last one of a page.
            limit: at most so many.
            which: of all that there are.
            curves: whether the curves are read.

        Raises:
            NotFoundError: if there is no such job.
        """
        return list(map(_stored, self.parts_of_records(job_id, after, limit, which, curves=curves)))

    def parts_of_records(
        self,
        job_id: str,
        after: str | None = None,
        limit: int = 100,
        which: RecordFilter = EVERY,
        *,
        curves: bool = True,
    ) -> list[dict[str, Any]]:
        """Return what `records` does as plain values: the parts of each record by name.

        Raises:
            NotFoundError: if there is no such job.
        """
        asked = asked_of_links(after, limit, which)
        with self._database.read() as connection:
            values = {"job_id": job_id, "job_seq": job_seq(connection, job_id), **asked}
            return self._parts(connection, _page(frozenset(asked), curves=curves), values)

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
        return _stored(self.parts_of_record(record_id))

    def parts_of_record(self, record_id: str) -> dict[str, Any]:
        """Return what `record` does as plain values: its parts by name; raises as that does."""
        try:
            key_bytes(record_id)
        except InvalidValueError:
            raise NotFoundError(f"there is no record {record_id!r}.") from None
        with self._database.read() as connection:
            unlinked = (null().label(name) for name in ("task", "optimizer", "reused"))
            statement = plain_records().add_columns(*unlinked).where(record.c.id == record_id)
            found = self._parts(connection, statement, {})
        if not found:
            raise NotFoundError(f"there is no record {record_id!r}.")
        return found[0]

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

    def _parts(self, connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = connection.execute(statement, values)
        return parts_of_rows(rows, lambda seq: self._shapes.document(connection, seq))


def _stored(parts: Mapping[str, Any]) -> StoredRecord:
    return StoredRecord(
        record=record_of(parts),
        job_id=parts["job_id"],
        attempt=parts["attempt"],
        created_at=parts["created_at"],
        seq=parts["seq"],
        task=parts["task"],
        optimizer=parts["optimizer"],
        reused=parts["reused"],
    )


def asked_of_links(after: str | None, limit: int, which: RecordFilter) -> dict[str, Any]:
    """Return the parameters of a page of links and their records, beside `job_seq`: only those that are asked for.

    Args:
        after: the page begins behind this config_key.
        limit: at most so many.
        which: of all that there are.
    """
    asked: dict[str, Any] = {"limit": checks.integer("limit", limit), "after": after}
    asked |= {"status": which.status and str(which.status), "config_keys": which.config_keys}
    asked |= {
        name: value and checks.text(name, value)
        for name, value in (("task", which.task), ("optimizer", which.optimizer))
    }
    return {name: value for name, value in asked.items() if value is not None}


def page_of_links(statement: Select[Any], asked: Collection[str]) -> Select[Any]:
    """Return a statement on links and their records that gives one page of a job's, by config_key.

    To put it together takes as long as to execute it: it is done once for each set of names.

    Args:
        statement: on all links.
        asked: the names of `asked_of_links`.
    """
    conditions = {
        "after": link.c.config_key > bindparam("after"),
        "status": record.c.status == bindparam("status"),
        "config_keys": link.c.config_key.in_(bindparam("config_keys", expanding=True)),
    }
    labels = [label.c[name] == bindparam(name) for name in ("task", "optimizer") if name in asked]
    chosen = [condition for name, condition in conditions.items() if name in asked]
    chosen += [link.c.label_seq.in_(select(label.c.seq).where(*labels))] if labels else []
    ours = statement.where(link.c.job_seq == bindparam("job_seq"), *chosen)
    return ours.order_by(link.c.config_key).limit(bindparam("limit"))


def plain_records(*, curves: bool = True) -> Select[Any]:
    """Return the statement that reads records, with what is kept beside their rows."""
    columns = [column if curves or column is not record.c.curve else null().label("curve") for column in record.c]
    keys = (fingerprint.c.key.label("fingerprint"), setting.c.key.label("setting"))
    whence = (origin.c.job_id, origin.c.attempt)
    return select(*columns, *keys, *whence).join_from(record, fingerprint).join(setting).join(origin)


@functools.cache
def _page(asked: frozenset[str], *, curves: bool) -> Select[Any]:
    joined = plain_records(curves=curves).join(link, link.c.record_seq == record.c.seq).join(label)
    is_reused = (origin.c.job_id != bindparam("job_id")).label("reused")
    return page_of_links(joined.add_columns(label.c.task, label.c.optimizer, is_reused), asked)
