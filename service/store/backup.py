"""Copy the embedded database while it is in use."""

import contextlib
import sqlite3
from pathlib import Path

from service.store.database import parse_url
from service.store.errors import InvalidValueError, StoreError, UnavailableError


def backup(url: str, target: Path) -> None:
    """Write a whole, compact copy of a SQLite database, as it is at one instant; nobody has to stop for that.

    Args:
        url: the database.
        target: a file that does not exist yet.

    Raises:
        InvalidValueError: if the database is PostgreSQL, which has its own program for this, or the target exists.
        UnavailableError: if the database cannot be read or the target cannot be written.
    """
    address = parse_url(url)
    if address.get_backend_name() != "sqlite":
        raise InvalidValueError("only a SQLite database is copied here; use pg_dump for PostgreSQL.")
    if target.exists():
        raise InvalidValueError(f"the target of a backup must not exist yet, but {target} does.")
    source = Path(address.database or "")
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(unfinished),))
        with contextlib.closing(sqlite3.connect(unfinished)) as copy:
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        unfinished.unlink(missing_ok=True)
        raise UnavailableError(f"the database {source} cannot be copied to {target}: {error}.") from error
    if found != "ok":
        unfinished.unlink()
        raise StoreError(f"the database {source} is damaged: {found}.")
    unfinished.replace(target)
