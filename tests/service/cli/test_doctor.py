"""The check-up from the command line: one line a check, or JSON, and an exit code."""

import json
import tempfile
from pathlib import Path

import pytest

from service.doctor import leftovers
from tests.service.cli.conftest import Cli
from tests.service.processes import free_port

pytestmark = pytest.mark.slow

MACHINE = ["python", "packages", "torch", "ray", "data folder", "disk"]
CHECKS = [*MACHINE, "plug-ins", "database", "settings", "server", "processes", "folders"]


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for scratch folders in which nobody else works."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(leftovers, "short_folder", lambda: None)
    monkeypatch.setattr(leftovers, "QUIET_S", -1.0)
    return place


def test_a_machine_that_is_well(cli: Cli, tmp_path: Path) -> None:
    result = cli("doctor")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert [line[9:21].strip() for line in lines] == CHECKS
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    assert not (tmp_path / "data").exists()


def test_a_problem_is_an_exit_code_and_the_other_checks_go_on(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rhobust.db").write_text("no database" * 99)
    result = cli("doctor", "-o", "json")
    found = {one["check"]: one for one in json.loads(result.out)}
    assert result.code == 5
    assert list(found) == CHECKS
    assert found["database"]["verdict"] == "problem"
    assert found["database"]["remedy"]
    assert set(found["python"]) == {"check", "verdict", "message", "remedy"}


def test_a_folder_without_a_mark_outlives_cleaning(cli: Cli, own_scratch: Path) -> None:
    (own_scratch / "ray-a1b2c3d4").mkdir()
    result = cli("doctor", "--clean")
    assert result.code == 0
    assert "warning  folders" in result.out
    assert (own_scratch / "ray-a1b2c3d4").exists()
