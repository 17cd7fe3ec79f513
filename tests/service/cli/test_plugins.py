"""Plug-ins on the command line: listed with their origin; no role starts while one is broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.exits import ExitCode
from tests.benchmark.packages import fresh_process, write_package, write_rule
from tests.service.cli.conftest import Cli


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a plug-in and a package that is broken, on the path of a process that has loaded neither."""
    write_rule(tmp_path)
    write_package(tmp_path, "odd", {"odd.py": "1 / 0"}, optimizers={"odd": "odd:X"})
    with fresh_process(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("command", ["serve", "worker", "optimizers", "tasks", "run"])
def test_no_role_starts_with_a_plug_in_that_is_broken(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("RHOBUST_PLUGINS", "odd, missing")
    done = cli(command, folder / "spec.yaml") if command == "run" else cli(command)
    assert (done.code, done.out) == (ExitCode.ENVIRONMENT, "")
    assert "the entry point 'odd' (odd:X) of the plug-in odd 1.0 cannot be imported: ZeroDivisionError" in done.err
    assert "the plug-in 'missing' is allowed but not installed here" in done.err
    assert not (folder / "data").exists()


def test_what_there_is_comes_with_its_origin(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "turned" not in cli("optimizers").out
    monkeypatch.setenv("RHOBUST_PLUGINS", "turned-rule")
    listed = cli("optimizers").out
    assert [line.split()[1:4] for line in listed.splitlines() if line.startswith("turned")] == [
        ["Turned", "turned-rule", "1.0"]
    ]
    assert "builtin" in listed
    assert "builtin" in cli("tasks").out
