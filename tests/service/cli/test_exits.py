"""How commands end: the documented code, a line on standard error, nothing on standard output."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer.main
import yaml

from service.cli.commands import app
from service.cli.exits import ExitCode, exit_code
from service.client import Client, Job, RateLimitedError, ServerFaultError
from service.states import JobState
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import failed, run_made_up, small_spec, submit
from tests.service.processes import environment, free_port

pytestmark = pytest.mark.slow
SPEC, FILE = "<spec>", "<file>"
ON_JOBS = (
    ("show", "x"),
    ("watch", "x"),
    ("logs", "x"),
    ("pause", "x"),
    ("resume", "x"),
    ("cancel", "x"),
    ("retry", "x"),
    ("extend", "x", SPEC),
    ("rerun", "x"),
    ("rerun", "x", "--record", "0" * 32),
    ("delete", "x"),
    ("delete", "x", "--dry-run"),
    ("table", "x"),
    ("table", "x", "y"),
    ("surface", "x"),
    ("plot", "x", "-o", f"{FILE}.svg"),
    ("export", "x"),
    ("export", "x", "-o", f"{FILE}.db"),
)
ON_SERVER = (("submit", SPEC), ("submit", SPEC, "--dry-run"), ("plan", SPEC), ("ls",), *ON_JOBS)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(small_spec()))
    return path


@pytest.fixture
def filled(tmp_path: Path, spec: Path) -> dict[str, str]:
    return {SPEC: str(spec), FILE: str(tmp_path / "out")}


def fill(arguments: tuple[str, ...], filled: dict[str, str]) -> list[str]:
    return [filled.get(word) or word.replace(FILE, filled[FILE]) for word in arguments]


def commands() -> Iterator[tuple[str, ...]]:
    """Yield every command of the command line, those of groups with the group."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        yield from ((name, sub) for sub in inner) if inner else [(name,)]


@pytest.mark.parametrize("arguments", ON_SERVER, ids=" ".join)
def test_no_server(
    cli: Cli, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("service.client.connection.FIRST_PATIENCE_S", 0.0)
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    result = cli(*fill(arguments, filled))
    assert (result.code, result.out, result.err.count("\n")) == (ExitCode.UNREACHABLE, "", 1)
    assert result.err.startswith("rhobust: no answer from http://127.0.0.1:")
    assert not list(Path(filled[FILE]).parent.glob("out*")), "no file is begun"


@pytest.mark.parametrize("arguments", ON_JOBS, ids=" ".join)
def test_no_such_job(cli: Cli, url: str, filled: dict[str, str], arguments: tuple[str, ...]) -> None:
    result = cli(*fill(arguments, filled))
    assert (result.code, result.out, result.err) == (ExitCode.USAGE, "", "rhobust: there is no job 'x'.\n")


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_an_option_that_there_is_not(cli: Cli, command: tuple[str, ...]) -> None:
    result = cli(*command, "--nonsense")
    assert (result.code, result.out, result.err.count("\n")) == (ExitCode.USAGE, "", 1)
    assert result.err.startswith(f"rhobust {' '.join(command)}: No such option")
    assert f"See `rhobust {' '.join(command)} --help`." in result.err


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_has_help(cli: Cli, command: tuple[str, ...]) -> None:
    result = cli(*command, "--help")
    assert (result.code, result.err) == (ExitCode.FINE, "")
    assert f"Usage: rhobust {' '.join(command)}" in result.out
    assert "None" not in result.out


def test_a_command_that_there_is_not_and_none(cli: Cli) -> None:
    assert cli("lss").err == "rhobust: No such command 'lss'. Did you mean 'ls'? See `rhobust --help`.\n"
    nothing = cli()
    assert (nothing.code, nothing.err) == (ExitCode.USAGE, "")
    assert "Usage: rhobust" in nothing.out


def test_a_refused_limit_of_an_option_is_one_line(cli: Cli) -> None:
    result = cli("ls", "--state", "odd")
    assert result.code == ExitCode.USAGE
    assert result.err.startswith("rhobust ls: Invalid value for '--state': 'odd' is not one of 'queued', 'running'")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        ({"RHOBUST_LOG_LEVEL": "odd"}, ("ls",), "RHOBUST_LOG_LEVEL: Input should be 'DEBUG'"),
        ({"RHOBUST_MAX_CELLS": "0"}, ("run", SPEC), "RHOBUST_MAX_CELLS: Input should be greater"),
    ],
)
def test_settings_that_are_not_valid(
    cli: Cli,
    filled: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = cli(*fill(arguments, filled))
    assert (result.code, result.out, result.err.count("\n")) == (ExitCode.USAGE, "", 1)
    assert message in result.err


@pytest.mark.parametrize("arguments", [("serve",), ("worker",), ("run", SPEC), ("db", "upgrade"), ("db", "check")])
def test_a_database_that_is_not_there(
    cli: Cli, filled: dict[str, str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RHOBUST_DATABASE_URL", "sqlite:////nowhere/at/all.db")
    result = cli(*fill(arguments, filled))
    assert (result.code, result.out, result.err.count("\n")) == (ExitCode.ENVIRONMENT, "", 1)


def test_a_job_that_failed(cli: Cli, url: str, store: Store) -> None:
    job = run_made_up(store, submit(store), failed, state=None)
    store.finish(job.id, 1, JobState.FAILED, error="20 of 20 cells failed")
    result = cli("watch", job.id)
    assert (result.code, result.out) == (ExitCode.JOB_FAILED, "")
    assert result.err.endswith(f"rhobust: job {job.id} is failed: 20 of 20 cells failed\n")


def test_a_server_that_fails_is_as_good_as_none() -> None:
    assert exit_code(ServerFaultError(500, "an error of its own")) == ExitCode.UNREACHABLE
    assert exit_code(RateLimitedError(429, "too many")) == ExitCode.USAGE


def test_several_jobs_are_steered_and_one_that_cannot_be_is_said(cli: Cli, url: str, store: Store) -> None:
    first, second = submit(store), submit(store)
    store.cancel(second.id)
    result = cli("cancel", first.id, "nothing", second.id, first.id)
    assert (result.code, result.out) == (ExitCode.USAGE, "")
    told, missing, refused = result.err.splitlines()
    assert told == f"job {first.id} is cancelled"
    assert missing == "rhobust: there is no job 'nothing'."
    assert refused.startswith("rhobust: cannot cancel a job that is cancelled: ")
    assert cli("retry", first.id, second.id).code == ExitCode.FINE
    assert [job.state for job in store.jobs()] == ["queued", "queued"]


def test_a_dry_run_deletes_nothing(cli: Cli, url: str, store: Store) -> None:
    ended, waiting = run_made_up(store, submit(store)), submit(store)
    result = cli("delete", ended.id, waiting.id, "--dry-run")
    assert (result.code, result.out) == (ExitCode.USAGE, "")
    told, refused = result.err.splitlines()
    assert told == f"job {ended.id} (small, completed, 20 cells with a record) would be deleted"
    assert refused.startswith("rhobust: cannot delete a job that is queued")
    assert len(store.jobs()) == 2
    assert cli("delete", ended.id).err == f"job {ended.id} is deleted\n"
    assert len(store.jobs()) == 1


def test_ctrl_c_ends_silently(cli: Cli, url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Job, **options: object) -> Job:
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "wait", interrupted)
    result = cli("watch", submit(store).id)
    assert (result.code, result.out, result.err) == (ExitCode.INTERRUPTED, "", "")


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_reader_that_has_enough_ends_it_silently(tmp_path: Path, form: str) -> None:
    command = [sys.executable, "-m", "service.cli", "optimizers", "-o", form]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, env=environment(tmp_path / "data"), timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitCode.BROKEN_PIPE, b"")


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_full_disk_is_said_in_a_line(tmp_path: Path, form: str) -> None:
    command = [sys.executable, "-m", "service.cli", "optimizers", "-o", form]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=environment(tmp_path / "data"), timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (ExitCode.ENVIRONMENT, b"rhobust: No space left on device\n")


@pytest.mark.parametrize("is_plain", [False, True])
def test_no_color_is_kept_to(cli: Cli, monkeypatch: pytest.MonkeyPatch, is_plain: bool) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    if not is_plain:
        monkeypatch.delenv("NO_COLOR")
    assert ("\x1b[36m" in cli("ls", "--help").out or "\x1b[1;36m" in cli("ls", "--help").out) is not is_plain


def test_completion_knows_the_jobs_and_is_silent_without_a_server(
    cli: Cli, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(store, small_spec(name=f"job {number}")) for number in range(3)]
    monkeypatch.setenv("_RHOBUST_COMPLETE", "complete_zsh")

    def completed(line: str) -> str:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        return cli().out

    assert all(job.id in completed("rhobust show ") for job in jobs)
    alone = completed(f"rhobust cancel {jobs[0].id[:-1]}")
    assert jobs[0].id in alone
    assert "job 0 (queued)" in alone
    assert "--state" in completed("rhobust ls --")
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    nothing = cli()
    assert (nothing.code, nothing.err) == (0, "")
    assert jobs[0].id not in completed("rhobust show ")


def test_the_flag_goes_before_the_environment(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_URL", f"http://127.0.0.1:{free_port()}")
    assert json.loads(cli("ls", "--url", url, "-o", "json").out) == []


def test_a_page_that_is_none_of_ours_is_said_in_a_line(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(self: Client, *arguments: object, **options: object) -> httpx.Response:
        return httpx.Response(200, text="<html>", request=httpx.Request("GET", "http://a.test/api/v1/jobs"))

    monkeypatch.setattr(Client, "request", elsewhere)
    result = cli("ls")
    assert result.code == ExitCode.USAGE
    assert result.err == "rhobust: 200 OK: is http://a.test/api/v1/jobs a Rhobust server?\n"
