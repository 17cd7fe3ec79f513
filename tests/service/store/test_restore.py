"""A restore puts a whole database in the place of one that nobody uses, or changes nothing."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from service.states import JobState
from service.store import (
    InvalidValueError,
    SchemaError,
    Store,
    StoreError,
    UnavailableError,
    backup,
    check,
    downgrade,
    restore,
)
from tests.service.store.samples import make_record, queue, running, write

pytestmark = pytest.mark.slow

ALIVE_WITHIN_S = 45.0
N_CELLS = 50


@pytest.fixture
def backend() -> str:
    """What is restored is a file."""
    return "sqlite"


@pytest.fixture
def path(tmp_path: Path, own_database_url: str) -> Path:
    """A database with a finished job."""
    with Store.open(own_database_url) as store:
        job = running(store, n_cells=N_CELLS)
        write(store, job, [make_record(cell) for cell in range(N_CELLS)])
        store.finish(job.id, job.attempt, JobState.COMPLETED)
    return tmp_path / "rhobust.db"


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """A backup of it, in a folder of its own."""
    (tmp_path / "backups").mkdir()
    target = tmp_path / "backups" / "copy.db"
    backup(url_of(path), target)
    return target


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def names(path: Path) -> list[str]:
    """Return the names of the jobs of a database."""
    with Store.open(url_of(path)) as store:
        return sorted(job.name for job in store.jobs())


def change(path: Path) -> None:
    with Store.open(url_of(path)) as store:
        store.cancel(queue(store, "made after the backup").id)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.glob("rhobust.db*") if file.suffix != ".db-shm"}


def test_a_backup_comes_back_and_what_it_replaces_is_kept(path: Path, copy: Path) -> None:
    change(path)
    content = copy.read_bytes()
    kept = restore(url_of(path), copy, ALIVE_WITHIN_S)
    assert kept is not None
    assert kept.parent == path.parent
    assert kept.name.startswith("rhobust.db.2")
    assert names(path) == ["a job"]
    assert names(kept) == ["a job", "made after the backup"]
    check(url_of(path))
    check(url_of(kept))
    assert copy.read_bytes() == content
    assert not list(path.parent.glob("*.unfinished*"))
    with Store.open(url_of(path)) as store:
        assert len(store.records(store.jobs()[0].id, limit=N_CELLS + 1)) == N_CELLS


def test_a_dry_run_changes_nothing_and_refuses_what_a_restore_would(path: Path, copy: Path, tmp_path: Path) -> None:
    change(path)
    before = files(path)
    assert restore(url_of(path), copy, ALIVE_WITHIN_S, dry_run=True) is None
    assert files(path).keys() == before.keys()
    assert names(path) == ["a job", "made after the backup"]
    assert restore(url_of(tmp_path / "elsewhere.db"), copy, ALIVE_WITHIN_S, dry_run=True) is None
    assert not (tmp_path / "elsewhere.db").exists()
    with Store.open(url_of(path)), pytest.raises(UnavailableError, match="is in use"):
        restore(url_of(path), copy, ALIVE_WITHIN_S, dry_run=True)
    damage(copy)
    with pytest.raises(StoreError, match="damaged"):
        restore(url_of(path), copy, ALIVE_WITHIN_S, dry_run=True)


def test_a_backup_comes_where_there_is_no_database(path: Path, copy: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    assert restore(url_of(elsewhere), copy, ALIVE_WITHIN_S) is None
    assert names(elsewhere) == ["a job"]


def test_a_backup_of_an_older_version_is_upgraded(path: Path, copy: Path) -> None:
    downgrade(url_of(copy), "0001")
    restore(url_of(path), copy, ALIVE_WITHIN_S)
    check(url_of(path))
    assert names(path) == ["a job"]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 and then nonsense" * 300])
def test_a_damaged_database_is_replaced_with_its_log(path: Path, copy: Path, content: bytes) -> None:
    path.write_bytes(content)
    log = path.with_name("rhobust.db-wal")
    log.write_bytes(b"of another database")
    kept = restore(url_of(path), copy, ALIVE_WITHIN_S)
    assert kept is not None
    assert kept.read_bytes() == content
    assert names(path) == ["a job"]
    check(url_of(path))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"\xa5" * 20_000
    file.write_bytes(content)


def change_revision(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def forget_revision(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE alembic_version")


@pytest.mark.parametrize(
    ("spoil", "error", "match"),
    [
        (damage, StoreError, "damaged"),
        (change_revision, SchemaError, "is at revision 9999, which is not known here"),
        (forget_revision, SchemaError, "is no database of Rhobust"),
        (lambda file: file.write_bytes(b""), SchemaError, "is no database of Rhobust"),
        (lambda file: file.write_text("a text, and no database" * 99), StoreError, "damaged, or no database"),
        (lambda file: file.unlink(), UnavailableError, "cannot be copied"),
    ],
)
def test_what_is_no_whole_backup_changes_nothing(
    path: Path, copy: Path, spoil: object, error: type[Exception], match: str
) -> None:
    assert callable(spoil)
    spoil(copy)
    before = files(path)
    with pytest.raises(error, match=match):
        restore(url_of(path), copy, ALIVE_WITHIN_S)
    assert files(path) == before


def test_a_database_that_somebody_has_open_stays(path: Path, copy: Path) -> None:
    with Store.open(url_of(path)):
        with pytest.raises(UnavailableError, match="is in use; stop every server and dispatcher"):
            restore(url_of(path), copy, ALIVE_WITHIN_S)
        change(path)
    assert len(list(path.parent.glob("rhobust.db.*"))) == 0
    assert names(path) == ["a job", "made after the backup"]


def test_a_database_with_a_leased_job_stays(path: Path, copy: Path) -> None:
    with Store.open(url_of(path)) as store:
        job = running(store)
    with pytest.raises(UnavailableError, match=f"job {job.id} of .* is under lease for another [56][0-9] s"):
        restore(url_of(path), copy, ALIVE_WITHIN_S)
    with Store.open(url_of(path)) as store:
        store.release(job.id, job.attempt, crashed=False)
    assert restore(url_of(path), copy, ALIVE_WITHIN_S) is not None


def test_a_database_of_a_living_dispatcher_stays(path: Path, copy: Path) -> None:
    with Store.open(url_of(path)) as store:
        store.report_dispatcher("here-7", "here", 7, "0.1", {})
    with pytest.raises(UnavailableError, match=r"dispatcher here-7 of .* reported within 45 s"):
        restore(url_of(path), copy, ALIVE_WITHIN_S)
    assert names(path) == ["a job"]
    with Store.open(url_of(path)) as store:
        store.forget_dispatcher("here-7")
    assert restore(url_of(path), copy, ALIVE_WITHIN_S) is not None


def test_a_lapsed_lease_is_taken_over_after_the_restore(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "in the middle.db"
    with Store.open(url_of(path)) as store:
        job = queue(store)
        assert store.claim("one", 0.0) is not None
        backup(url_of(path), target)
    restore(url_of(path), target, ALIVE_WITHIN_S)
    with Store.open(url_of(path)) as store:
        again = store.claim("two", 60.0)
        assert again is not None
        assert (again.id, again.attempt) == (job.id, 2)


def test_the_database_itself_is_no_backup(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    for source in (path, link):
        with pytest.raises(InvalidValueError, match="must be another file than the database"):
            restore(url_of(path), source, ALIVE_WITHIN_S)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(path: Path, copy: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(UnavailableError):
            restore(url_of(path), copy, ALIVE_WITHIN_S)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("at", ["hardlink_to", "replace"])
def test_a_process_that_dies_in_the_middle_leaves_a_whole_database(path: Path, copy: Path, at: str) -> None:
    change(path)
    program = f"""
import os
from pathlib import Path
from service.store import restore

def die(*_):
    os._exit(9)

Path.{at} = die
restore({url_of(path)!r}, Path({str(copy)!r}), 45.0)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 9
    check(url_of(path))
    assert names(path) == ["a job", "made after the backup"]
    for left in path.parent.glob("rhobust.db.2*"):
        left.unlink()
    assert restore(url_of(path), copy, ALIVE_WITHIN_S) is not None
    assert names(path) == ["a job"]


def test_postgresql_has_its_own_program(copy: Path) -> None:
    with pytest.raises(InvalidValueError, match="use pg_restore or psql for PostgreSQL"):
        restore("postgresql://here/db", copy, ALIVE_WITHIN_S)
