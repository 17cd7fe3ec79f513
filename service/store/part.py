"""What the parts of the store share: the database, the row of a job, and small numbers for what is kept once."""

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Connection, RowMapping, Select, Table, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite

from service.states import JobState, Request
from service.store import checks
from service.store.database import Database
from service.store.entities import Job
from service.store.errors import NotFoundError
from service.store.in_flight import InFlight
from service.store.tables import db_now, fingerprint, job, setting, shape

IN_CHUNK = 500  # keys in one IN list: small enough for every database's limit of parameters

_JOB_ID = re.compile(r"[0-9a-z]{1,32}")
_Item = TypeVar("_Item")


class Part:
    """One subject of the store.

    Args:
        database: where everything is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fingerprints = Numbered(fingerprint)
        self._settings = Numbered(setting)
        self._shapes = Numbered(shape)
        self._origins: dict[tuple[str, int], int] = {}
        self._labels: dict[tuple[str, str], int] = {}


class Numbered:
    """A table of documents by key. Its rows are never changed and never deleted, so what was seen is remembered."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._seqs: dict[str, int] = {}
        self._documents: dict[int, Mapping[str, Any]] = {}

    def has_seen(self, keys: Collection[str]) -> bool:
        """Whether all keys are remembered."""
        return all(key in self._seqs for key in keys)

    def seqs(self, connection: Connection, keys: Collection[str]) -> dict[str, int]:
        """Return the numbers of the keys that the table has."""
        unseen = [key for key in set(keys) if key not in self._seqs]
        columns = self._table.c
        for chunk in chunks(unseen, IN_CHUNK):
            rows = connection.execute(select(columns.key, columns.seq).where(columns.key.in_(chunk)))
            self._seqs.update((row.key, row.seq) for row in rows)
        return {key: self._seqs[key] for key in keys if key in self._seqs}

    def document(self, connection: Connection, seq: int) -> Mapping[str, Any]:
        """Return the document of a number."""
        if seq not in self._documents:
            columns = self._table.c
            self._documents[seq] = connection.execute(select(columns.document).where(columns.seq == seq)).scalar_one()
        return self._documents[seq]

    def documents(self, connection: Connection, keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the documents of the keys that the table has."""
        return {key: self.document(connection, seq) for key, seq in self.seqs(connection, keys).items()}

    def add(self, connection: Connection, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Insert the documents that are not there yet."""
        rows = [{"key": key, "document": document} for key, document in sorted(documents.items())]
        if rows:
            connection.execute(insert_into(connection, self._table).on_conflict_do_nothing(), rows)


def insert_into(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """Return an INSERT that knows ON CONFLICT."""
    return _insert_of(connection.dialect.name, table)


@functools.cache  # with its `excluded`, which takes longer to put together than a statement to execute
def _insert_of(dialect: str, table: Table) -> "postgresql.Insert | sqlite.Insert":
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, clock: str | None = None
) -> "tuple[postgresql.Insert | sqlite.Insert, Any]":
    """Return an INSERT of many rows that knows ON CONFLICT, and the parameters to execute it with.

    PostgreSQL takes them as one statement with an array a column: a message a row costs it more than the row itself.

    Args:
        connection: on which it will be executed.
        table: into which.
        rows: at least one; all with the same columns.
        clock: a further column that gets the database's time.
    """
    if connection.dialect.name == "sqlite":
        return _insert_of_rows(table, clock), rows
    return _insert_of_arrays(table, tuple(rows[0]), clock), {name: [row[name] for row in rows] for name in rows[0]}


@functools.cache  # to put one together takes longer than to execute it
def _insert_of_rows(table: Table, clock: str | None) -> sqlite.Insert:
    return sqlite.insert(table).values(**({clock: db_now()} if clock else {}))


@functools.cache
def _insert_of_arrays(table: Table, names: tuple[str, ...], clock: str | None) -> postgresql.Insert:
    columns = [table.c[name] for name in names]
    arrays = [bindparam(one.name, type_=ARRAY(one.type)) for one in columns]
    given = func.unnest(*arrays).table_valued(*(column(one.name, one.type) for one in columns)).render_derived("given")
    computed = {clock: db_now()} if clock else {}
    return postgresql.insert(table).from_select([*names, *computed], select(*given.c, *computed.values()))


def chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield a sequence in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def oldest_page(statement: Select[Any], seq: ColumnElement[int], limit: int, after: int) -> Select[Any]:
    """Return a statement that gives at most `limit` rows, oldest first, of those made after the one with a number."""
    return statement.where(seq > min(after, checks.MAX_SMALL)).order_by(seq).limit(checks.integer("limit", limit))


def newest_page(statement: Select[Any], seq: ColumnElement[int], limit: int, before: int | None) -> Select[Any]:
    """Return a statement that gives at most `limit` rows, newest first, of those made before the one with a number."""
    if before is not None:
        statement = statement.where(seq < min(before, checks.MAX_BIG))
    return statement.order_by(seq.desc()).limit(checks.integer("limit", limit))


def job_from_row(row: RowMapping) -> Job:
    """Return the job of a row with all columns of its table."""
    values = dict(row)
    values["tags"] = tuple(values["tags"])
    values["state"] = JobState(values["state"])
    values["requested"] = values["requested"] and Request(values["requested"])
    values["in_flight"] = InFlight.from_dict(values["in_flight"])
    return Job(**values)


def read_job(connection: Connection, job_id: str, *, lock: bool = False) -> Job:
    """Return a job, locked against other writers on demand.

    Raises:
        NotFoundError: if there is none of that id.
    """
    statement = select(job).where(job.c.id == known_form(job_id))
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    if row is None:
        raise not_found(job_id)
    return job_from_row(row)


def job_seq(connection: Connection, job_id: str) -> int:
    """Return the number of a job.

    Raises:
        NotFoundError: if there is none of that id.
    """
    seq = connection.execute(select(job.c.seq).where(job.c.id == known_form(job_id))).scalar_one_or_none()
    if seq is None:
        raise not_found(job_id)
    return int(seq)


def has_known_form(job_id: str) -> bool:
    """Whether a text can be the id of a job; any other needs no look into the database."""
    return bool(_JOB_ID.fullmatch(job_id))


def known_form(job_id: str) -> str:
    """Return an id that a job can have.

    Raises:
        NotFoundError: for any other text.
    """
    if not has_known_form(job_id):
        raise not_found(job_id)
    return job_id


def not_found(job_id: str) -> NotFoundError:
    """Return the error for a job that is not there."""
    return NotFoundError(f"there is no job {job_id!r}.")
