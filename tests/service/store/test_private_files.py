"""Files of the store are their owner's alone, wherever the folder is: they hold secrets of webhooks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store import Store, backup, restore, upgrade


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """Whoever runs us lets everybody read new files."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}


def test_a_database_is_its_owners_alone(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}", create=True):
        found = modes(tmp_path)
    upgrade(f"sqlite:///{tmp_path / 'b.db'}")
    assert {"a.db", "a.db-wal", "a.db-shm"} <= found.keys()
    assert set({**found, **modes(tmp_path)}.values()) == {"0o600"}


def test_a_backup_and_what_is_restored_from_it_are_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    (tmp_path / "a.db").chmod(0o644)
    backup(url, tmp_path / "copy.db")
    restore(f"sqlite:///{tmp_path / 'b.db'}", tmp_path / "copy.db", 60)
    found = modes(tmp_path)
    assert [found[name] for name in ("copy.db", "b.db")] == ["0o600", "0o600"]
    assert found["a.db"] == "0o644", "what is there is left as it is"
