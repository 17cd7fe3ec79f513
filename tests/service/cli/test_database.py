"""Copies of the database come and go by command."""

from pathlib import Path

import pytest

from service.settings import Settings
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import submit

pytestmark = pytest.mark.slow


def test_a_backup_is_restored(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    assert cli("db", "upgrade").code == 0
    with Store.open(Settings().store_url) as store:
        first = submit(store)
        assert cli("db", "backup", file).code == 0
        submit(store)
        refused = cli("db", "restore", file)
        assert (refused.code, "is in use" in refused.err) == (5, True)
    looked = cli("db", "restore", file, "--dry-run")
    assert (looked.code, "nothing was changed" in looked.err) == (0, True)
    result = cli("db", "restore", file)
    assert (result.code, result.out) == (0, "")
    assert f"is kept as {tmp_path / 'data' / 'rhobust.db.2'}" in result.err
    with Store.open(Settings().store_url) as store:
        assert [job.id for job in store.jobs()] == [first.id]


def test_a_backup_comes_to_a_new_machine(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "copy.db"
    assert cli("db", "upgrade").code == 0
    assert cli("db", "backup", file).code == 0
    monkeypatch.setenv("RHOBUST_DATA_DIR", str(tmp_path / "new" / "folder"))
    result = cli("db", "restore", file)
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert cli("db", "check").code == 0


@pytest.mark.parametrize(("command", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_has_programs_of_its_own(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, program: str
) -> None:
    monkeypatch.setenv("RHOBUST_DATABASE_URL", "postgresql://user:secret@127.0.0.1/x")
    result = cli("db", command, tmp_path / "copy.db")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert program in result.err
    assert "secret" not in result.err
