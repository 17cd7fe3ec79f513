"""A store opens on the schema that it knows; migrations keep every row, or change nothing."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, LargeBinary, MetaData, Uuid, select, text

from service.states import JobState
from service.store import RecordFilter, SchemaError, Store, StoreError, UnavailableError, check, downgrade, upgrade
from service.store.codec import FRAMED, pack_unframed, unpack_curve
from service.store.database import Database
from service.store.entities import StoredRecord
from service.store.migrate import MIGRATIONS, _config, known_revisions
from service.store.tables import REVISION, metadata, record, shape
from tests.service.store.released import seen as seen_by_release
from tests.service.store.samples import SETTING, TTL_S, make_record, new_job, queue, running, want, write

pytestmark = pytest.mark.slow
N_CELLS = 100
N_AT_ONCE = 3
ASSETS = Path(__file__).parent / "assets"  # the rows of databases that earlier versions wrote, and what they read there
RELEASES = sorted(ASSETS.glob("*.*.*.json"))
OLDER_REVISIONS = sorted(known_revisions() - {REVISION})


def fill(store: Store) -> str:
    """Finish a job of 100 cells, and let another one use a third of them."""
    job = running(store, n_cells=N_CELLS)
    write(store, job, [make_record(cell) for cell in range(N_CELLS)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    other = running(store, n_cells=N_CELLS)
    store.link_reusable(other.id, other.attempt, want(*range(N_CELLS // 3)), TTL_S)
    return job.id


def digest(url: str) -> dict[str, str]:
    """Hash of all rows, by table; of a curve its numbers, since a way back may pack it in another form."""
    database = Database(url)
    with database.read() as connection:
        rows = {
            name: sorted(repr(tuple(row)) for row in connection.execute(table.select()))
            for name, table in metadata.tables.items()
            if table is not record
        }
        columns = (*(column for column in record.c if column is not record.c.curve), record.c.curve, shape.c.document)
        rows["record"] = [
            repr((*plain, unpack_curve(curve, document["curve"])))
            for *plain, curve, document in connection.execute(select(*columns).join(shape).order_by(record.c.seq))
        ]
    database.close()
    return {name: hashlib.sha256("\n".join(lines).encode()).hexdigest() for name, lines in rows.items()}


@pytest.fixture
def database_url(own_database_url: str) -> str:
    return own_database_url


@pytest.fixture
def longer_history(tmp_path: Path) -> Path:
    """The migrations with one more, which changes the table that all others refer to."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "next.py").write_text(f'''
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{REVISION}"


def upgrade() -> None:
    with op.batch_alter_table("job") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        batch.alter_column("name", existing_type=sa.Text(), nullable=True)
    with op.batch_alter_table("record") as batch:
        batch.alter_column("pack", existing_type=sa.Text(), nullable=True)


def downgrade() -> None:
    with op.batch_alter_table("record") as batch:
        batch.alter_column("pack", existing_type=sa.Text(), nullable=False)
    with op.batch_alter_table("job") as batch:
        batch.alter_column("name", existing_type=sa.Text(), nullable=False)
        batch.drop_column("note")
''')
    return folder


def test_the_code_needs_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(_config(MIGRATIONS)).get_heads() == [REVISION]


def test_migrations_make_the_tables_of_the_code(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    check(empty_database_url)
    database = Database(empty_database_url)
    with database.migrating() as connection:
        config = _config(MIGRATIONS)
        config.attributes["connection"] = connection
        config.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115  (closed below)
        command.check(config)
        config.stdout.close()
    database.close()


def test_every_constraint_has_a_name(database_url: str) -> None:
    database = Database(database_url)
    from sqlalchemy import inspect

    inspector = inspect(database.engine)
    for table in metadata.tables:
        assert inspector.get_pk_constraint(table)["name"]
        for found in (
            inspector.get_foreign_keys(table),
            inspector.get_unique_constraints(table),
            inspector.get_check_constraints(table),
        ):
            assert all(constraint["name"] for constraint in found)
    database.close()


def test_an_upgrade_and_the_way_back_keep_every_row(database_url: str, longer_history: Path) -> None:
    with Store.open(database_url) as store:
        fill(store)
    before = digest(database_url)

    upgrade(database_url, migrations=longer_history)
    downgrade(database_url, REVISION, migrations=longer_history)

    assert digest(database_url) == before
    check(database_url)
    with Store.open(database_url) as store:
        done, used = store.jobs()[1], store.jobs()[0]
        assert len(store.records(done.id, limit=1000)) == N_CELLS
        assert store.progress(used.id).reused == N_CELLS // 3


@pytest.mark.parametrize("revision", OLDER_REVISIONS)
def test_a_filled_database_goes_to_an_older_revision_and_back(database_url: str, revision: str) -> None:
    with Store.open(database_url) as store:
        fill(store)
    before = digest(database_url)

    downgrade(database_url, revision)
    with pytest.raises(SchemaError, match=f"at revision {revision}, .*; run `rhobust db upgrade`"):
        Store.open(database_url)
    upgrade(database_url)

    assert digest(database_url) == before
    check(database_url)


def restore(url: str, revision: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Fill an empty database with the rows of an asset, at the revision that wrote them."""
    upgrade(url, revision)
    database, reflected = Database(url), MetaData()
    with database.migrating() as connection:
        reflected.reflect(connection)
        for table in reflected.sorted_tables:
            rows = tables.get(table.name)
            if rows:
                readers = {column.name: reader_of(column) for column in table.c}
                values = [
                    {key: None if value is None else readers[key](value) for key, value in row.items()} for row in rows
                ]
                if table.name == "idempotency":  # a key lasts a day, and an asset for ever
                    values = [{**row, "created_at": time.time()} for row in values]
                connection.execute(table.insert(), values)
    database.close()


def reader_of(column: Column[Any]) -> Callable[[Any], Any]:
    """Return what makes a value of a column of what an asset holds of it."""
    if isinstance(column.type, LargeBinary):
        return bytes.fromhex
    if isinstance(column.type, JSON):
        return json.loads
    if isinstance(column.type, Uuid):
        return uuid.UUID
    return bool if column.type.python_type is bool else lambda value: value


def seen(stored: StoredRecord) -> dict[str, object]:
    """What an asset holds of a record."""
    names = ("job_id", "attempt", "created_at", "seq", "task", "optimizer", "reused")
    return stored.record.to_dict() | {name: getattr(stored, name) for name in names}


def test_what_revision_0003_wrote_is_all_there(empty_database_url: str) -> None:
    asset = json.loads((ASSETS / "0003.json").read_text())
    restore(empty_database_url, "0003", asset["tables"])

    upgrade(empty_database_url)

    check(empty_database_url)
    with Store.open(empty_database_url) as store:
        for job_id, records in asset["records"].items():
            assert [seen(stored) for stored in store.records(job_id)] == records
            assert [stored.record.id for stored in store.records(job_id, which=RecordFilter(optimizer="sam-warm"))] == [
                stored["id"] for stored in records if stored["optimizer"] == "sam-warm"
            ]
            progress = store.progress(job_id)
            counts = [progress.reused, progress.completed, progress.diverged, progress.timed_out, progress.failed]
            assert counts == asset["progress"][job_id]
        keyed, is_new = store.submit(new_job("keyed"), idempotency_key="a key")
        assert not is_new
        assert keyed.name == "keyed"
        assert set(store.timings([SETTING])) == {SETTING}


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_what_a_release_wrote_is_read_as_it_read_it(empty_database_url: str, release: Path) -> None:
    asset = json.loads(release.read_text())
    restore(empty_database_url, asset["revision"], asset["tables"])

    upgrade(empty_database_url)

    check(empty_database_url)
    with Store.open(empty_database_url) as store:
        assert json.loads(json.dumps(seen_by_release(store))) == asset["seen"]
        keyed, is_new = store.submit(new_job("keyed"), idempotency_key="a key")
        assert (keyed.name, is_new) == ("keyed", False)


def test_the_version_that_is_being_made_has_no_other_schema_than_its_asset() -> None:
    """Once a release is out, its asset stays: a change of the schema is a new version's."""
    newest = max(RELEASES, key=lambda path: tuple(map(int, path.stem.split("."))))
    revision = json.loads(newest.read_text())["revision"]
    assert revision == REVISION or newest.stem != version("rhobust"), (
        f"the schema is at {REVISION}, that of {newest.name} at {revision}: raise the version and make an asset, or, "
        "while it is not out, make this one anew"
    )


def test_curves_go_back_in_a_form_that_the_older_revision_reads(database_url: str) -> None:
    with Store.open(database_url) as store:
        fill(store)
    downgrade(database_url, "0003")
    database = Database(database_url)
    with database.read() as connection:
        packed = {bytes(row.curve) for row in connection.execute(text("SELECT curve FROM record"))}
    database.close()
    curve = make_record(0).outcome.curve
    assert packed == {pack_unframed(list(curve.values()))}
    assert not any(found.startswith(FRAMED) for found in packed)


def test_constraints_survive_a_change_of_their_table(database_url: str, longer_history: Path) -> None:
    upgrade(database_url, migrations=longer_history)
    downgrade(database_url, REVISION, migrations=longer_history)
    database = Database(database_url)
    with Store(database) as store:
        job = queue(store)
        with pytest.raises(StoreError, match="ck_job_lease"), database.write() as connection:
            connection.execute(text("UPDATE job SET state = 'running'"))
        with pytest.raises(StoreError, match="ck_job_state"), database.write() as connection:
            connection.execute(text("UPDATE job SET state = 'lost'"))
        assert store.job(job.id) == job


def test_a_way_back_that_would_lose_data_is_refused(database_url: str) -> None:
    with Store.open(database_url) as store:
        fill(store)
    before = digest(database_url)
    with pytest.raises(SchemaError, match="would lose every job; nothing was changed"):
        downgrade(database_url, "base")
    assert digest(database_url) == before


def test_an_empty_database_goes_down_and_up(database_url: str) -> None:
    downgrade(database_url, "base")
    with pytest.raises(
        SchemaError, match=f"no schema of Rhobust, this version needs revision {REVISION}; run `rhobust db upgrade`"
    ):
        Store.open(database_url)
    upgrade(database_url)
    upgrade(database_url)
    check(database_url)


def test_a_schema_of_a_newer_version_is_refused(database_url: str, longer_history: Path) -> None:
    upgrade(database_url, migrations=longer_history)
    match = f"is at revision next, this version needs revision {REVISION}; a newer version made it"
    with pytest.raises(SchemaError, match=match):
        Store.open(database_url)
    with pytest.raises(SchemaError, match=match):
        Store.open(database_url, create=True)
    with pytest.raises(SchemaError, match="cannot be migrated"):
        upgrade(database_url)


def test_a_schema_changed_by_hand_is_reported(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        connection.execute(text("ALTER TABLE job ADD COLUMN note TEXT"))
    database.close()
    with pytest.raises(SchemaError, match="changed by hand"):
        check(database_url)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_damage_is_reported(database_url: str, backend: str) -> None:
    with Store.open(database_url) as store:
        fill(store)
    database = Database(database_url)
    with database.migrating() as connection:
        connection.execute(text("DELETE FROM record WHERE seq = 1"))
    database.close()
    with pytest.raises(StoreError, match="is damaged: 2 rows refer to nothing"):
        check(database_url)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_migration_that_breaks_references_changes_nothing(
    database_url: str, backend: str, longer_history: Path
) -> None:
    history = longer_history / "versions" / "next.py"
    body = 'from alembic import op\nrevision, down_revision = "next", "{}"\n'
    body += 'def upgrade():\n    op.execute("DELETE FROM record")\n'
    history.write_text(body.format(REVISION))
    with Store.open(database_url) as store:
        fill(store)
    before = digest(database_url)
    with pytest.raises(SchemaError, match="would break 133 references; nothing was changed"):
        upgrade(database_url, migrations=longer_history)
    assert digest(database_url) == before
    check(database_url)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_fresh_file_is_made_on_demand_only(empty_database_url: str, backend: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"there is no database .*; run `rhobust db upgrade` to make it"):
        Store.open(empty_database_url)
    assert list(tmp_path.iterdir()) == []
    with Store.open(empty_database_url, create=True) as store:
        job = queue(store)
    with Store.open(empty_database_url, create=True) as store:
        assert store.jobs() == [job]
    with pytest.raises(UnavailableError, match="its folder does not exist"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/rhobust.db", create=True)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_server_is_never_given_a_schema_by_the_way(empty_database_url: str, backend: str) -> None:
    with pytest.raises(SchemaError, match="has no schema of Rhobust"):
        Store.open(empty_database_url, create=True)


OPEN = "import sys; from service.store import Store; Store.open(sys.argv[1], create=True).close()"
UPGRADE = "import sys; from service.store import upgrade; upgrade(sys.argv[1])"


@pytest.mark.slow
def test_processes_that_start_at_once_do_not_collide(empty_database_url: str, backend: str) -> None:
    program = OPEN if backend == "sqlite" else UPGRADE
    processes = [
        subprocess.Popen([sys.executable, "-c", program, empty_database_url], stderr=subprocess.PIPE, text=True)
        for _ in range(N_AT_ONCE)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [(process.returncode, error) for process, error in zip(processes, errors, strict=True)] == [
        (0, "")
    ] * N_AT_ONCE
    check(empty_database_url)
