"""The driver process as such: what it does when the database is away, and what it says in the end."""

import io
import json
import os
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from benchmark import TaskDataError
from service.jobs import driver, patience
from service.jobs.child import MAX_LAST_WORDS, DriverExit, Orders
from service.store import Store, StoreError, UnavailableError, complete_url

ORDERS = Orders(
    database_url="sqlite:///nowhere.db",
    job_id="0123456789",
    attempt=1,
    lease_s=0.5,
    ray_address=None,
    n_cpus=1,
    parent_pid=os.getppid(),
)


class Words(io.StringIO):
    """Keeps what was said when it is closed."""

    said = ""

    def close(self) -> None:
        self.said = self.getvalue()


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    """A driver in this process, which says its last words here."""
    stream = Words()
    monkeypatch.setattr(driver, "private_stdout", lambda: stream)
    monkeypatch.setattr(driver, "end_with_parent", lambda _: None)
    monkeypatch.setattr(driver, "set_up_logging", lambda *_, **__: None)  # messages are those of the tests
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asdict(ORDERS)) + "\n"))
    return stream


class _Opened:
    def __enter__(self) -> SimpleNamespace:
        return SimpleNamespace(job=lambda _: SimpleNamespace(replay=0))

    def __exit__(self, *_: object) -> None:
        pass


def opening(monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> list[str]:
    """Have the database answer like this, one after the other; the last answer stays."""
    asked: list[str] = []

    def open_store(url: str) -> _Opened:
        outcome = outcomes[min(len(asked), len(outcomes) - 1)]
        asked.append(url)
        if outcome is not None:
            raise outcome
        return _Opened()

    monkeypatch.setattr(Store, "open", open_store)
    return asked


def test_a_database_that_is_away_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch, words: Words) -> None:
    asked = opening(monkeypatch, UnavailableError("away"), UnavailableError("away"), None)
    monkeypatch.setattr(driver, "_train", lambda *_: None)
    assert driver.main() == DriverExit.DONE
    assert asked == 3 * [ORDERS.database_url]


def test_a_fault_in_the_middle_of_planning_plans_again(monkeypatch: pytest.MonkeyPatch, words: Words) -> None:
    opening(monkeypatch, None)
    outcomes = iter([UnavailableError("restarting"), None])

    def train(*_: object) -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(driver, "_train", train)
    assert driver.main() == DriverExit.DONE
    assert list(outcomes) == []


def test_patience_begins_when_the_database_goes_and_not_when_the_work_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that has trained for an hour waits as long as one that has just started."""
    now, seconds = 0.0, iter([3600.0, 1.0, 1.0])

    def work() -> str:
        nonlocal now
        passed = next(seconds, None)
        if passed is None:
            return "done"
        now += passed
        raise UnavailableError("away")

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert patience.persist(work, "the work", give_up_s=10.0) == "done"
    seconds = iter([3600.0, *[4.0] * 5])
    with pytest.raises(UnavailableError):
        patience.persist(work, "the work", give_up_s=10.0)
    assert list(seconds) == [4.0, 4.0]


def test_a_database_that_stays_away_is_what_the_machine_lacks(monkeypatch: pytest.MonkeyPatch, words: Words) -> None:
    opening(monkeypatch, UnavailableError("the database cannot be used: no route to host."))
    assert driver.main() == DriverExit.ENVIRONMENT
    assert words.said == "the database cannot be used: no route to host."


def test_data_that_is_missing_is_no_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch, words: Words) -> None:
    opening(monkeypatch, None)

    def train(*_: object) -> None:
        raise TaskDataError("the emoji have not been built. Run `rhobust build emoji`.")

    monkeypatch.setattr(driver, "_train", train)
    assert driver.main() == DriverExit.NO_DATA
    assert words.said == "the emoji have not been built. Run `rhobust build emoji`."


def test_last_words_fit_into_a_pipe_that_nobody_reads_yet(monkeypatch: pytest.MonkeyPatch, words: Words) -> None:
    opening(monkeypatch, StoreError("x" * 100_000))
    assert driver.main() == DriverExit.CRASHED
    assert words.said == "x" * MAX_LAST_WORDS


def test_a_driver_is_told_what_libpq_takes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "p@ss/word")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGUSER", "somebody")
    url = complete_url("postgresql://ann@db.example:5433/runs")
    assert url.startswith("postgresql+psycopg://ann@db.example:5433/runs?")
    assert "password=p%40ss%2Fword" in url
    assert "sslmode=verify-full" in url
    assert "somebody" not in url, "the address says who"
    assert complete_url("sqlite:////data/rhobust.db") == "sqlite:////data/rhobust.db"
    assert complete_url(url) == url
