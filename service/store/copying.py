"""Copy the embedded database while it is in use, and put a copy in its place when it is not."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from service.store import checks
from service.store.database import parse_url
from service.store.errors import InvalidValueError, SchemaError, StoreError, UnavailableError
from service.store.migrate import check, known_revisions, make_private, upgrade

_LOG_SUFFIXES = ("-wal", "-shm")


def backup(url: str, target: Path) -> None:
    """Write a whole, compact copy of a SQLite database, as it is at one instant; nobody has to stop for that.

    Args:
        url: the database.
        target: a file that does not exist yet.

    Raises:
        InvalidValueError: if the database is PostgreSQL, which has its own program for this, or the target exists.
        UnavailableError: if the database cannot be read or the target cannot be written.
    """
    source = _file_of(url, "only a SQLite database is copied here; use pg_dump for PostgreSQL.")
    try:
        if os.path.lexists(target):
            raise InvalidValueError(f"the target of a backup must not exist yet, but {target} does.")
        with _unfinished(target) as unfinished:
            _copy(source, unfinished)
            unfinished.replace(target)
    except OSError as error:
        raise UnavailableError(f"the backup {target} cannot be written: {error.strerror}.") from error


def restore(url: str, source: Path, alive_within_s: float, *, dry_run: bool = False) -> Path | None:
    """Put a backup in the place of a SQLite database that nobody uses. One of an older version is upgraded.

    The new database is made whole beside the old one first, and takes its name in one step: whatever happens, one of
    the two is there.

    Args:
        url: the database, which need not exist.
        source: a backup; it is only read.
        alive_within_s: a dispatcher that reported so lately is alive.
        dry_run: whether to do all but the last step: the backup is copied, upgraded and checked, and nothing changes.

    Returns:
        Where the replaced database is kept; None if there was none, or nothing was replaced.

    Raises:
        InvalidValueError: if the database is PostgreSQL, which has its own program for this.
        SchemaError: if the backup's schema is not known here.
        StoreError: if the backup is damaged.
        UnavailableError: if the database is in use, the backup cannot be read, or the new file cannot be written.
    """
    checks.seconds("alive_within_s", alive_within_s)
    target = _file_of(url, "only a SQLite database is restored here; use pg_restore or psql for PostgreSQL.")
    if target.exists() and source.exists() and source.samefile(target):
        raise InvalidValueError(f"a backup must be another file than the database, but {source} is the database.")
    with _unfinished(target) as unfinished:
        _copy(source, unfinished)
        _require_known(unfinished, source)
        copied = f"sqlite:///{unfinished}"
        upgrade(copied)
        check(copied)
        try:
            with _alone(target, alive_within_s):
                if dry_run:
                    return None
                kept = _keep(target) if target.exists() else None
                unfinished.replace(target)
        except OSError as error:
            raise UnavailableError(f"the database {target} cannot be replaced: {error}.") from error
    return kept


def _file_of(url: str, otherwise: str) -> Path:
    address = parse_url(url)
    if address.get_backend_name() != "sqlite":
        raise InvalidValueError(otherwise)
    return Path(address.database or "").absolute()


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Give the name under which a file is made; nothing of that name is left."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    names = [unfinished.with_name(unfinished.name + suffix) for suffix in ("", "-journal", *_LOG_SUFFIXES)]
    for name in names:
        name.unlink(missing_ok=True)
    try:
        yield unfinished
    finally:
        for name in names:
            name.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Write a whole copy of a SQLite file, and read both through.

    Raises:
        UnavailableError: if one of them cannot be read or written.
        StoreError: if the source is damaged.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _require_whole(connection, source)
            make_private(target)
            connection.execute("VACUUM INTO ?", (str(target),))
        with contextlib.closing(sqlite3.connect(target)) as copy:
            _require_whole(copy, target)
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"the database {source} cannot be copied to {target}: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the file {source} is damaged, or no database: {error}.") from error


def _require_whole(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise StoreError(f"the database {path} is damaged: {found}.")


def _require_known(copy: Path, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            found = None
    if found is None:
        raise SchemaError(f"the file {source} is no database of Rhobust; nothing was changed.")
    if found[0] not in known_revisions():
        hint = "a newer version made it, so install that version; nothing was changed"
        raise SchemaError(f"the backup {source} is at revision {found[0]}, which is not known here: {hint}.")


@contextlib.contextmanager
def _alone(path: Path, alive_within_s: float) -> Iterator[None]:
    """Hold a database that nobody else has open; one that cannot be read any more is nobody's.

    Raises:
        UnavailableError: if a process has it open, a job is under lease, or a dispatcher is alive.
    """
    if not path.exists():
        yield
        return
    with contextlib.closing(sqlite3.connect(path, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            # leaving WAL takes a lock that no other connection may share, even an idle one, and moves the log into the
            # file
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            connection.execute("BEGIN EXCLUSIVE")
            _require_rest(connection, path, alive_within_s)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                message = f"the database {path} is in use; stop every server and dispatcher of it, then try again."
                raise UnavailableError(message) from error
            if "no such table" not in str(error):
                raise UnavailableError(f"the database {path} cannot be replaced: {error}.") from error
        except sqlite3.DatabaseError:
            pass  # damaged, or no database at all: what a restore is for
        yield


def _require_rest(connection: sqlite3.Connection, path: Path, alive_within_s: float) -> None:
    now = connection.execute("SELECT (julianday('now') - 2440587.5) * 86400.0").fetchone()[0]
    leased = "SELECT id, lease_until FROM job WHERE state = 'running' AND lease_until > ?"
    job = connection.execute(leased, (now,)).fetchone()
    if job is not None:
        message = f"job {job[0]} of {path} is under lease for another {job[1] - now:.0f} s; let it end, or cancel it."
        raise UnavailableError(message)
    alive = "SELECT id FROM dispatcher WHERE heartbeat >= ?"
    dispatcher = connection.execute(alive, (now - alive_within_s,)).fetchone()
    if dispatcher is not None:
        message = f"dispatcher {dispatcher[0]} of {path} reported within {alive_within_s:g} s; stop it, then try again."
        raise UnavailableError(message)


def _keep(path: Path) -> Path:
    """Give a database a second, dated name, and its log, if it left one, the name that goes with it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as clock:
        now = clock.execute("SELECT strftime('%Y%m%d-%H%M%S', 'now')").fetchone()[0]
    kept = path.with_name(f"{path.name}.{now}")
    kept.hardlink_to(path)
    for suffix in _LOG_SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    return kept
