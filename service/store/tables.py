"""The tables, the same on SQLite and PostgreSQL, and the types and the clock that they share.

Keys are 128-bit hashes kept as 16 bytes; what thousands of records share (setting, fingerprint, names, labels) is kept
once and referred to by a small number, so that a record costs hundreds of bytes and not thousands.
"""

import operator
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from benchmark.records import Status
from service.keys import Scope
from service.states import JobState, Request
from service.store.errors import InvalidValueError

REVISION = "0009"  # the schema that this code needs; a test holds it equal to the newest migration

KEY_BYTES = 16

# in every stored record: never change or reuse a number
STATUS_CODES = {
    str(Status.COMPLETED): 1,
    str(Status.DIVERGED): 2,
    str(Status.TIMED_OUT): 3,
    str(Status.FAILED): 4,
}
STATUSES = {code: word for word, code in STATUS_CODES.items()}


class Key(TypeDecorator[str]):
    """A 128-bit hash or UUID: 32 hex digits outside, 16 bytes in the database.

    PostgreSQL has a type of just this size; an array of bytes costs another one for its length, and its padding.
    """

    impl = LargeBinary(KEY_BYTES)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of a database."""
        return dialect.type_descriptor(Uuid() if dialect.name == "postgresql" else LargeBinary(KEY_BYTES))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | uuid.UUID | None:
        """Return the bytes of the hex digits."""
        if value is None:
            return None
        packed = key_bytes(value)
        return uuid.UUID(bytes=packed) if dialect.name == "postgresql" else packed

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str]:
        """Return what gives the hex digits of the bytes: no key is ever null, and a record has three to read."""
        return operator.attrgetter("hex") if dialect.name == "postgresql" else bytes.hex


class StatusCode(TypeDecorator[str]):
    """The status of a record: its word outside, a small number in the database."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> int | None:
        """Return the number of the word."""
        return None if value is None else STATUS_CODES[value]

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str]:
        """Return what gives the word of the number, which is never null."""
        return STATUSES.__getitem__


def key_bytes(key: str) -> bytes:
    """Return the 16 bytes of a key.

    Raises:
        InvalidValueError: if the key is not 32 lower-case hex digits.
    """
    try:
        packed = bytes.fromhex(key)
    except ValueError:
        packed = b""
    if len(packed) != KEY_BYTES or packed.hex() != key:
        raise InvalidValueError(f"a key must be {2 * KEY_BYTES} lower-case hex digits, but got {key!r}.")
    return packed


class _DbNow(FunctionElement[float]):
    type = Double()
    inherit_cache = True


@compiles(_DbNow, "sqlite")
def _now_on_sqlite(element: _DbNow, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    # unixepoch('subsec') would need SQLite 3.42; before it gives NULL without an error
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_DbNow, "postgresql")
def _now_on_postgresql(element: _DbNow, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


def db_now() -> ColumnElement[float]:
    """Return the expression for seconds since 1970 by the database's clock, the only clock that leases know."""
    return _DbNow()


def one_of(column: str, choices: type[StrEnum]) -> str:
    """Return the condition that a column holds one of the values of an enum."""
    return f"{column} IN ({', '.join(repr(str(choice)) for choice in choices)})"


Serial = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY counts by itself on SQLite

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

job = Table(
    "job",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested", String(16)),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("retried_after", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("max_crashes", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Double),
    Column("run_after", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("n_cells", Integer, nullable=False),
    Column("n_before", Integer, nullable=False),
    Column("execution", JSON, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("first_record_at", Double),
    Column("last_record_at", Double),
    Column("error", Text),
    Column("rerun_of", String(32)),
    Column("rerun", JSON(none_as_null=True)),
    Column("replay", Integer, nullable=False, server_default="0"),
    Column("made_by", JSON(none_as_null=True)),
    Column("probes", JSON(none_as_null=True)),
    Column("in_flight", JSON(none_as_null=True)),
    CheckConstraint(one_of("state", JobState), name="state"),
    CheckConstraint(one_of("requested", Request), name="requested"),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    CheckConstraint("requested IS NULL OR state = 'running'", name="requested_running"),
    Index(None, "state", "priority", "seq"),
    *(Index(None, column, "seq") for column in ("finished_at", "name", "priority", "state", "submitted_by")),
)

facet = Table(  # words by which jobs are found
    "facet",
    metadata,
    Column("job_seq", ForeignKey("job.seq", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("value", String(200), primary_key=True),
    Index(None, "kind", "value", "job_seq"),
)

setting = Table(
    "setting",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("key", Key, nullable=False, unique=True),
    Column("document", JSON, nullable=False),
)

fingerprint = Table(
    "fingerprint",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("key", Key, nullable=False, unique=True),
    Column("document", JSON, nullable=False),
)

shape = Table(  # the names in a record: of its hyperparameters, metrics and series, and of its execution and device
    "shape",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("key", Key, nullable=False, unique=True),
    Column("document", JSON, nullable=False),
)

origin = Table(  # the attempts that wrote records; job_id refers to nothing, since a record may outlive its job
    "origin",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("job_id", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    UniqueConstraint("job_id", "attempt"),
)

record = Table(  # insert-only; the widest columns first, since PostgreSQL pads a narrow one before a wide one
    "record",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("elapsed_s", Double, nullable=False),
    Column("grad_norm", Double),
    Column("delta_over_rho", Double),
    Column("seed", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("gradient_evaluations", Integer, nullable=False),
    Column("diverged_at_step", Integer),
    Column("origin_seq", ForeignKey("origin.seq"), nullable=False, index=True),
    Column("fingerprint_seq", ForeignKey("fingerprint.seq"), nullable=False),
    Column("setting_seq", ForeignKey("setting.seq"), nullable=False),
    Column("shape_seq", ForeignKey("shape.seq"), nullable=False),
    Column("pack_size", Integer, nullable=False),
    Column("pack_position", Integer, nullable=False),
    Column("collapsed", Boolean, nullable=False),
    Column("amortised", Boolean, nullable=False),
    Column("status", StatusCode, nullable=False),
    Column("id", Key, nullable=False, unique=True),
    Column("config_key", Key, nullable=False),
    Column("pack", Text, nullable=False),
    Column("hyperparameters", LargeBinary, nullable=False),
    Column("metrics", LargeBinary, nullable=False),
    Column("curve", LargeBinary),
    Column("error", Text),
    UniqueConstraint("config_key", "fingerprint_seq", "origin_seq"),
    CheckConstraint(f"status IN ({', '.join(map(str, STATUSES))})", name="status"),
)

label = Table(  # the names by which a job knows the task and the optimizer of a cell
    "label",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("task", String(200), nullable=False),
    Column("optimizer", String(200), nullable=False),
    UniqueConstraint("task", "optimizer"),
)

link = Table(
    "link",
    metadata,
    Column("record_seq", ForeignKey("record.seq"), nullable=False, index=True),
    Column("job_seq", ForeignKey("job.seq", ondelete="CASCADE"), primary_key=True),
    Column("config_key", Key, primary_key=True),
    Column("label_seq", ForeignKey("label.seq"), nullable=False),
)

tally = Table(  # how many links of each kind a job has: written with the links, so that progress costs no scan
    "tally",
    metadata,
    Column("job_seq", ForeignKey("job.seq", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint_seq", ForeignKey("fingerprint.seq"), primary_key=True),
    Column("status", StatusCode, primary_key=True),
    Column("collapsed", Boolean, primary_key=True),
    Column("reused", Boolean, primary_key=True),
    Column("n", Integer, nullable=False),
    CheckConstraint("n >= 0", name="n"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("body", Key, nullable=False),
    Column("resource_id", String(32), nullable=False, index=True),
    Column("created_at", Double, nullable=False, index=True),
)

dispatcher = Table(
    "dispatcher",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("claims", Boolean, nullable=False),
    Column("job_id", String(32)),
)

timing = Table(  # seconds of a step of a cell, by task, rule, base, batch, precision and device
    "timing",
    metadata,
    Column("key", Key, primary_key=True),
    Column("fused_s", Double),
    Column("sequential_s", Double, nullable=False),
    Column("measured_at", Double, nullable=False),
)

api_key = Table(  # a key itself is kept nowhere: it is known by the hash of all of it
    "api_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("label", String(200), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    CheckConstraint(one_of("scope", Scope), name="scope"),
)

session = Table(  # browsers that signed in with a key; what their cookie holds is known by its hash alone
    "session",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("key_id", ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", Double, nullable=False, index=True),
)
