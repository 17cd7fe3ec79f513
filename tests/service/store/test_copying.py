"""A backup is whole, taken while others write, and never half there."""

from pathlib import Path

import pytest

from service.store import InvalidValueError, Store, UnavailableError, backup, check
from tests.service.store.samples import make_record, running, write


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_backup_is_the_database_of_one_instant(database_url: str, backend: str, tmp_path: Path) -> None:
    target = tmp_path / "copy of it.db"
    with Store.open(database_url) as store:
        job = running(store)
        write(store, job, [make_record(cell) for cell in range(50)])
        backup(database_url, target)
        write(store, job, [make_record(50)])
        before = store.records(job.id, limit=100)
    check(f"sqlite:///{target}")
    with Store.open(f"sqlite:///{target}") as copy:
        copied = copy.records(job.id, limit=100)
        assert len(copied) == 50
        assert all(item in before for item in copied)
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_nothing_is_overwritten_or_made_up(database_url: str, backend: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(InvalidValueError, match="must not exist yet"):
        backup(database_url, target)
    assert target.read_text() == "mine"
    with pytest.raises(UnavailableError, match="cannot be copied"):
        backup(f"sqlite:///{tmp_path}/nowhere.db", tmp_path / "other.db")
    with pytest.raises(UnavailableError, match="cannot be copied"):
        backup(database_url, tmp_path / "no folder" / "copy.db")
    with pytest.raises(UnavailableError, match="cannot be written: Not a directory"):
        backup(database_url, target / "copy.db")
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["copy.db", "rhobust.db"]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_server_has_its_own_program(database_url: str, backend: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="use pg_dump"):
        backup(database_url, tmp_path / "copy.db")
