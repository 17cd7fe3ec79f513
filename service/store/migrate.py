"""Bring a database to the schema that this version needs, and refuse any other."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from service.store.database import UPGRADE_HINT, Database
from service.store.errors import SchemaError, StoreError, UnavailableError
from service.store.schema import metadata
from service.store.tables import REVISION

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x52486F31


def upgrade(url: str, revision: str = "head", *, migrations: Path = MIGRATIONS) -> None:
    """Bring a database to a revision, the newest by default; a SQLite file is made if there is none.

    Two processes that do so at once wait for each other, and the second finds nothing to do.

    Raises:
        SchemaError: if the database is at a revision that this version does not know.
        UnavailableError: if it cannot be reached or written.
    """
    database = Database(url)
    if database.path is not None and not database.path.parent.is_dir():
        raise UnavailableError(f"the database {database.shown} cannot be made: its folder does not exist.")
    if database.path is not None:
        make_private(database.path)
    _migrate(database, migrations, lambda config: command.upgrade(config, revision))


def make_private(path: Path) -> None:
    """Make an empty file that its owner alone reads, unless it is there: it is to hold the secrets of webhooks.

    SQLite gives the files beside a database the same mode.
    """
    with contextlib.suppress(OSError):  # it is there, or whoever writes it next says why it cannot be
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def downgrade(url: str, revision: str, *, migrations: Path = MIGRATIONS) -> None:
    """Take a database back to an older revision.

    Raises:
        SchemaError: if that would lose data, or a revision is not known.
    """
    _migrate(Database(url), migrations, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Verify that a database has the schema of this version, table by table, and that its data is whole.

    Raises:
        SchemaError: if it has another.
        StoreError: if a SQLite file is damaged.
    """
    database = Database(url)
    try:
        require_schema(database)
        with database.read() as connection:
            differences = compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), metadata
            )
            damage = _damage(connection) if database.is_sqlite else []
    finally:
        database.close()
    if differences:
        raise SchemaError(
            f"the database {database.shown} is at revision {REVISION}, but was changed by hand: {differences}."
        )
    if damage:
        raise StoreError(f"the database {database.shown} is damaged: {'; '.join(damage)}.")


def require_schema(database: Database) -> None:
    """Raise unless the database has exactly the schema that this version needs.

    Raises:
        SchemaError: with what was found, what is needed and the command that helps.
    """
    if database.path is not None and not database.path.exists():
        raise SchemaError(f"there is no database {database.shown}; {UPGRADE_HINT} to make it.")
    found = current_revision(database)
    if found == REVISION:
        return
    needed = f"this version needs revision {REVISION}"
    if found is None:
        raise SchemaError(f"the database {database.shown} has no schema of Rhobust, {needed}; {UPGRADE_HINT}.")
    remedy = UPGRADE_HINT if found in known_revisions() else "a newer version made it: install that version"
    raise SchemaError(f"the database {database.shown} is at revision {found}, {needed}; {remedy}.")


def known_revisions() -> set[str]:
    """Return the revisions that this version has or can upgrade."""
    return {script.revision for script in ScriptDirectory.from_config(_config(MIGRATIONS)).walk_revisions()}


def current_revision(database: Database) -> str | None:
    """Return the revision of a database; None where it has no schema of ours."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_empty(database: Database) -> bool:
    """Whether a database has no table at all."""
    with database.read() as connection:
        return not connection.dialect.get_table_names(connection)


def _migrate(database: Database, migrations: Path, run: Callable[[Config], None]) -> None:
    config = _config(migrations)
    try:
        with database.migrating() as connection:
            database.lock(connection, _MIGRATION_LOCK)
            config.attributes["connection"] = connection
            run(config)
            broken = list(connection.execute(text("PRAGMA foreign_key_check"))) if database.is_sqlite else []
            if broken:
                raise SchemaError(
                    f"the migration of {database.shown} would break {len(broken)} references; nothing was changed."
                )
    except CommandError as error:
        raise SchemaError(f"the database {database.shown} cannot be migrated: {error}.") from error
    finally:
        database.close()


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _damage(connection: Connection) -> list[str]:
    found = [str(line) for line in connection.execute(text("PRAGMA integrity_check")).scalars() if line != "ok"]
    orphans = len(list(connection.execute(text("PRAGMA foreign_key_check"))))
    return found + ([f"{orphans} rows refer to nothing"] if orphans else [])
