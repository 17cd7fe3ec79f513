"""`rhobust baseline calibrate`: what it says, and its exit codes."""

import threading
from collections.abc import Iterator

import pytest

from service.calibrating import settle_calibrations
from service.states import JobState
from service.store import Store
from tests.service.cli.conftest import Cli
from tests.service.filling import failed, run_made_up, submit
from tests.service.test_calibrating import SPEC, lowered

FAILING = 2


@pytest.fixture
def named(url: str, cli: Cli, store: Store) -> str:
    """The baseline `main`, on the server that RHOBUST_URL names."""
    job = run_made_up(store, submit(store, SPEC))
    assert cli("baseline", "set", "main", job.id).code == 0
    return job.id


@pytest.fixture
def worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Train all that is queued; replays whose number is in the set fail."""
    monkeypatch.setattr("service.cli.baselines.POLL_S", 0.05)
    stopping = threading.Event()
    failing: set[int] = set()

    def work() -> None:
        while not stopping.wait(0.02):
            for job in [one for one in store.jobs() if one.state is JobState.QUEUED]:
                if job.replay in failing:
                    run_made_up(store, job, failed, state=JobState.FAILED)
                else:
                    run_made_up(store, job, lowered(0.01 * job.replay))
            settle_calibrations(store)

    thread = threading.Thread(target=work)
    thread.start()
    yield failing
    stopping.set()
    thread.join()


def test_it_waits_for_the_limits(cli: Cli, named: str, worker: set[int]) -> None:
    done = cli("baseline", "calibrate", "main", "--alarm-rate", "0.34", "--wait")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    assert any(line.startswith("margins are ") and f"by the 2 replays of job {named}" in line for line in lines)
    assert "false alarms a run: 33.3 % at most" in done.err
    listed = cli("baseline", "ls", "-o", "csv").out.splitlines()[1]
    assert f"main,{named},small,33.3 % false alarms a run," in listed


def test_a_replay_that_failed_is_told(cli: Cli, named: str, worker: set[int]) -> None:
    worker.add(FAILING)
    done = cli("baseline", "calibrate", "main", "--alarm-rate", "0.34", "--wait")
    assert done.code == 3
    assert "1 of 2 replays have ended" in done.err
    assert "its job is failed; retry it" in done.err
    assert "1 of 2 replays, some failed" in cli("baseline", "ls", "-o", "csv").out


def test_without_waiting_it_says_how_far_it_is(cli: Cli, named: str, store: Store) -> None:
    done = cli("baseline", "calibrate", "main", "--replays", "20")
    assert (done.code, done.out) == (0, "")
    assert "0 of 20 replays have ended" in done.err
    assert {job.replay for job in store.jobs()} == set(range(21))


def test_a_rate_that_the_replays_cannot_hold_is_refused(cli: Cli, named: str) -> None:
    refused = cli("baseline", "calibrate", "main", "--replays", "5")
    assert refused.code == 2
    assert "needs at least 19 replays, but there are 5" in refused.err
