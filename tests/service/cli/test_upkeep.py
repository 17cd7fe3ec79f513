"""Pruning from the command line: announced exactly, asked for, and logs go with their jobs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import Job, Store
from tests.service.cli.conftest import Cli
from tests.service.filling import run_made_up, small_spec, submit

pytestmark = pytest.mark.slow


@pytest.fixture
def embedded(cli: Cli) -> Iterator[Store]:
    """The store of the command line's data folder."""
    settings = Settings()
    settings.data_dir.mkdir()
    with Store.open(settings.store_url, create=True) as store:
        yield store


def write_log(job_id: str, *, age_s: float = 0.0, content: str = "x" * 2000) -> Path:
    path = Settings().log_path(job_id)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def ended(store: Store, name: str = "small") -> tuple[Job, Path]:
    job = run_made_up(store, submit(store, small_spec(name=name)))
    return job, write_log(job.id)


def test_a_dry_run_says_what_would_go_and_changes_nothing(cli: Cli, embedded: Store) -> None:
    job, log = ended(embedded, "old [red]one[/red]")
    waiting = submit(embedded)
    time.sleep(0.01)
    result = cli("prune", "--older-than", "0d", "--dry-run")
    assert result.code == 0
    assert job.id in result.out
    assert "old [red]one[/red]" in result.out
    assert "0 s ago" in result.out
    assert waiting.id not in result.out
    assert "1 jobs, 20 records, 0 idempotency keys, 1 logs of 2 KiB (2,000 bytes)" in " ".join(result.err.split())
    assert log.exists()
    assert len(embedded.records(job.id)) == 20


def test_jobs_go_with_their_records_and_logs(cli: Cli, embedded: Store) -> None:
    job, log = ended(embedded)
    waiting = submit(embedded)
    kept = write_log(waiting.id)
    assert "Nothing ended more than 1d ago" in cli("prune", "--older-than", "1d", "-y").err
    time.sleep(0.01)
    result = cli("prune", "--older-than", "0h", "-y")
    assert (result.code, job.id in result.out) == (0, True)
    words = " ".join(result.err.split())
    assert "Deleted: 1 jobs, 20 records, 0 idempotency keys, 2 KiB of logs." in words
    assert "database file" in words
    assert [found.id for found in embedded.jobs()] == [waiting.id]
    assert (log.exists(), kept.exists()) == (False, True)
    assert "nothing to delete" in cli("prune", "--older-than", "0h", "-y").err


def test_nothing_goes_where_nobody_can_be_asked_or_the_answer_is_no(
    cli: Cli, embedded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, log = ended(embedded)
    time.sleep(0.01)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    refused = cli("prune", "--older-than", "0h")
    assert refused.code == 2
    assert "pass -y" in refused.err
    monkeypatch.setattr("service.cli.upkeep._is_agreed", lambda: False)
    assert "Nothing was deleted." in cli("prune", "--older-than", "0h").err
    assert embedded.job(job.id) == job
    assert log.exists()


def test_logs_of_jobs_that_are_gone_go_when_they_are_old(cli: Cli, embedded: Store) -> None:
    old, young = write_log("0123456789", age_s=3 * 86_400), write_log("abcdefghjk")
    alive = submit(embedded)
    used = write_log(alive.id, age_s=3 * 86_400)
    others = [write_log(name, age_s=3 * 86_400) for name in ("server", "dispatcher", "ABCDEFGHJK")]
    assert cli("prune", "--older-than", "2d", "-y").code == 0
    assert [path.exists() for path in (old, young, used, *others)] == [False, True, True, True, True, True]


def test_logs_of_unknown_jobs_stay_where_several_stores_may_share_the_folder(
    cli: Cli, store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Settings().data_dir.mkdir()
    monkeypatch.setenv("RHOBUST_DATABASE_URL", database_url)
    unknown = write_log("0123456789", age_s=3 * 86_400)
    _, log = ended(store)
    time.sleep(0.01)
    assert cli("prune", "--older-than", "0d", "-y").code == 0
    assert (unknown.exists(), log.exists()) == (True, False)


def test_a_duration_and_a_database_are_needed(cli: Cli) -> None:
    assert cli("prune").code == 2
    wrong = cli("prune", "--older-than", "soon")
    assert wrong.code == 2
    assert "such as 90d" in " ".join(wrong.err.replace("│", " ").split())
    missing = cli("prune", "--older-than", "1d")
    assert (missing.code, "there is no database" in missing.err) == (5, True)
