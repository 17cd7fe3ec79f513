"""The database behind the store: transactions for readers and writers, and SQLAlchemy's errors translated."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text

from benchmark.canonical import canonical_json
from service.store.errors import InvalidValueError, SchemaError, StoreError, UnavailableError

BUSY_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000
# A server that is cut off is noticed within half a minute, less than a lease, and not after the kernel's quarter hour.
KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
UNDEFINED_TABLE, READ_ONLY = "42P01", "25006"  # codes of PostgreSQL
UPGRADE_HINT = "run `rhobust db upgrade`"


def parse_url(url: str) -> URL:
    """Return the address of a SQLite file or a PostgreSQL database.

    Raises:
        InvalidValueError: if it is neither.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise InvalidValueError(
            "the database URL cannot be read; sqlite:///FILE or postgresql://... is needed."
        ) from None
    backend = "postgresql" if parsed.drivername == "postgres" else parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidValueError(f"the database must be SQLite or PostgreSQL, but got {backend}.")
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise InvalidValueError("a SQLite database must be a plain file, sqlite:///FILE: several processes share it.")
    return parsed.set(drivername="sqlite")


def complete_url(url: str) -> str:
    """Return an address that says by itself what libpq would take from this process's environment (PGPASSWORD, ...).

    A process with another environment then reaches the same database in the same way.

    Raises:
        InvalidValueError: if it is neither a SQLite file nor a PostgreSQL database.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    from psycopg.pq import Conninfo  # an extra: whoever has a PostgreSQL database has it

    named = {"host": parsed.host, "port": parsed.port, "user": parsed.username, "password": parsed.password}
    named["dbname"] = parsed.database
    said = {name for name, value in named.items() if value is not None} | parsed.query.keys()
    found = {}
    for option in Conninfo.get_defaults():
        name, variable = option.keyword.decode(), (option.envvar or b"").decode()
        if variable in os.environ and name not in said:
            found[name] = os.environ[variable]
    return parsed.update_query_dict(found).render_as_string(hide_password=False)


class Database:
    """One database: gives transactions, and raises only errors of the store.

    Attributes:
        url: its address.
        engine: SQLAlchemy's engine.
        shown: the address without its password.
    """

    def __init__(self, url: str | URL, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> None:
        self.url = parse_url(url) if isinstance(url, str) else url
        self.shown = _shown(self.url)
        self.engine = _create_engine(self.url, statement_timeout_ms)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database or "") if self.is_sqlite else None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that writes; on SQLite it holds the write lock from its first moment."""
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that only reads; on SQLite no writer waits for it."""
        with self._translated(), self.engine.connect() as connection:
            connection = connection.execution_options(readonly=True)
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Give a transaction for changes of the schema.

        On SQLite a change of a table copies and drops it, and with foreign keys on, dropping it would delete every row
        that refers to it; the pragma works outside of a transaction only. PostgreSQL may take longer over a large table
        than any other statement is given.
        """
        with self._translated(), self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            if self.is_sqlite:
                raw.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    if not self.is_sqlite:
                        connection.execute(text("SET LOCAL statement_timeout = 0"))
                    yield connection
            finally:
                if self.is_sqlite:
                    raw.execute("PRAGMA foreign_keys = ON")

    def rewrite(self) -> None:
        """Write a SQLite file anew, without its free pages; raises UnavailableError while somebody else is in it."""
        with self._translated(), self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA busy_timeout = 0")
            try:
                raw.execute("VACUUM")
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise UnavailableError(f"the database {self.shown} cannot be written anew: {error}.") from error
            finally:
                raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def lock(self, connection: Connection, number: int, *, shared: bool = False) -> None:
        """Hold an advisory lock until the transaction ends; SQLite's writers exclude each other anyway."""
        if not self.is_sqlite:
            function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
            connection.execute(text(f"SELECT {function}(:number)"), {"number": number})

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise self._translate(error) from error

    def _translate(self, error: exc.SQLAlchemyError) -> StoreError:
        cause = (error.orig if isinstance(error, exc.StatementError) else None) or error
        if isinstance(cause, StoreError):  # raised by a type of ours while a value was bound
            return cause
        lines = str(cause).strip().splitlines()
        reason = lines[0] if lines else type(cause).__name__
        for secret in _secrets(self.url):
            reason = reason.replace(secret, "***")
        code = getattr(cause, "sqlstate", None)
        if "no such table" in reason or code == UNDEFINED_TABLE:
            return SchemaError(f"the database {self.shown} lacks a table ({reason}); {UPGRADE_HINT}.")
        if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError) or code == READ_ONLY:
            return UnavailableError(f"the database {self.shown} cannot be used: {reason}.")
        if isinstance(error, exc.DataError) or type(error) is exc.StatementError:
            return InvalidValueError(f"the database {self.shown} refuses a value: {reason}.")
        return StoreError(f"the database {self.shown} refuses a statement: {reason}.")


def _secrets(url: URL) -> list[str]:
    """Return what must not be shown of an address: libpq takes passwords as parameters too."""
    values = [value for name, value in url.query.items() if "password" in name]
    return [str(secret) for secret in [url.password, *values] if secret]


def _shown(url: URL) -> str:
    hidden = {name: "***" for name in url.query if "password" in name}
    plain = url.set(drivername=url.get_backend_name()).update_query_dict(hidden)
    return plain.render_as_string(hide_password=True)


def _create_engine(url: URL, statement_timeout_ms: int) -> Engine:
    options: dict[str, Any] = {"json_serializer": canonical_json, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {
        "connect_timeout": 10,
        **KEEPALIVE,
        "application_name": "rhobust",
        "options": f"-c statement_timeout={statement_timeout_ms}",
    }
    try:
        return create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)
    except ModuleNotFoundError as error:
        raise UnavailableError("PostgreSQL needs psycopg: install rhobust[postgres].") from error


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the begin event opens transactions
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA page_size = 8192")  # heeded by a new file only; a record fills a smaller page badly
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows ASCII alone


def _lower(value: str | bytes | float | None) -> str | bytes | float | None:
    return value.lower() if isinstance(value, str) else value


def _begin_sqlite(connection: Connection) -> None:
    # a plain BEGIN that reads first and writes later fails at once where another one wrote in between
    readonly = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
