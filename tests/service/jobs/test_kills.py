"""Real dispatchers, real drivers with Ray, and real signals, on both databases: nothing that was recorded is lost."""

import collections
import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from service.jobs.child import session_members
from service.states import JobState
from service.store import Job, Store, UnavailableError
from tests.service.conftest import BACKENDS
from tests.service.filling import small_spec, submit
from tests.service.jobs import counted
from tests.service.jobs.counted import counted_spec, trainings
from tests.service.jobs.hosts import JOB_S, attempts, host, n_recorded, wait_for_end
from tests.service.jobs.short_leases import LEASE_S
from tests.service.postgres import own_postgres
from tests.service.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
N_CELLS = 30
N_FIRST = 8
PACK_CELLS = 6
SPEC = small_spec(seeds={"count": 3}, budget={"epochs": 15}, resources={"pack": "sequential"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_dispatcher_takes_its_driver_with_it_and_another_goes_on(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    job = submit(store, SPEC)
    assert job.n_cells == N_CELLS
    with host(own_database_url, tmp_path / "first") as first:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        driver = first.driver()
        assert driver is not None
        first.process.kill()
        until(lambda: list(session_members(driver.pid)) == [], "nothing is left of the driver", 10)
        before = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
        assert N_FIRST <= len(before) < N_CELLS
        with host(own_database_url, tmp_path / "second") as second:
            ended = wait_for_end(store, job, first, second)
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 2, 1)
    after = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
    assert before < after
    assert len(after) == N_CELLS
    assert collections.Counter(attempts(store, job).values()) == {1: len(before), 2: N_CELLS - len(before)}


@pytest.mark.parametrize("backend", ["postgresql"])  # above a driver is killed beside either database
def test_a_killed_driver_is_followed_by_another_that_trains_what_is_missing(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    job = submit(store, SPEC)
    with host(own_database_url, tmp_path / "host") as only:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        driver = only.started_driver()
        driver.kill()
        until(lambda: store.job(job.id).error is not None, "the dispatcher settles it", 20)
        # it did not wait for the lease to run out: then nobody could say how the driver ended
        assert "ended with code -9" in str(store.job(job.id).error)
        assert list(session_members(driver.pid)) == []
        before = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
        assert N_FIRST <= len(before) < N_CELLS
        ended = wait_for_end(store, job, only)
    assert (ended.state, ended.attempt, ended.crashes, ended.error) == (JobState.COMPLETED, 2, 1, None)
    after = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
    assert before < after
    assert collections.Counter(attempts(store, job).values()) == {1: len(before), 2: N_CELLS - len(before)}


@pytest.mark.parametrize("backend", ["sqlite"])  # a trial worker knows of no database
def test_a_killed_trial_worker_costs_its_unreported_cells_and_no_attempt(
    counted_task: None, store: Store, own_database_url: str, tmp_path: Path
) -> None:
    """What its pack lacked is cut in halves and trained by others."""
    notes = tmp_path / "notes"
    job = submit(store, counted_spec(notes, seeds={"count": 3}, budget={"epochs": 20}, resources={"pack": PACK_CELLS}))
    assert job.n_cells == N_CELLS
    with host(own_database_url, tmp_path / "host", counted.MODULE) as only:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        n_before = len(trainings(notes))
        until(lambda: len(trainings(notes)) > n_before, "another cell begins", JOB_S)
        victim = psutil.Process(trainings(notes)[-1])
        driver = only.started_driver()
        assert victim in session_members(driver.pid)
        assert victim != driver
        victim.kill()
        ended = wait_for_end(store, job, only)
    assert (ended.state, ended.attempt, ended.crashes, ended.error) == (JobState.COMPLETED, 1, 0, None)
    records = [stored.record for stored in store.iter_records(job.id, curves=False)]
    assert len({record.config_key for record in records}) == len(records) == N_CELLS
    sizes = {record.pack.id: record.pack.size for record in records}
    halves = sorted(size for size in sizes.values() if size < PACK_CELLS)
    n_unreported = sum(halves)
    assert halves in ([1], [n_unreported // 2, n_unreported - n_unreported // 2])
    assert n_unreported <= PACK_CELLS
    of_workers = [pid for pid in trainings(notes) if pid != driver.pid]  # the driver's own only time a step
    assert N_CELLS < len(of_workers) <= N_CELLS + n_unreported


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dispatcher_that_was_frozen_beyond_its_lease_writes_nothing_any_more(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    job = submit(store, SPEC)
    with host(own_database_url, tmp_path / "frozen") as frozen:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        frozen.send(signal.SIGSTOP)
        driver = frozen.driver()
        assert driver is not None
        with host(own_database_url, tmp_path / "other") as other:
            until(lambda: store.job(job.id).attempt == 2, "another takes over", LEASE_S + 10)
            of_the_first = {key for key, attempt in attempts(store, job).items() if attempt == 1}
            frozen.send(signal.SIGCONT)
            until(lambda: list(session_members(driver.pid)) == [], "the zombie's driver ends", 20)
            ended = wait_for_end(store, job, frozen, other)
        assert "lost its lease" in frozen.log.read_text()
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 2, 1)
    final = attempts(store, job)
    assert len(final) == N_CELLS
    assert {key for key, attempt in final.items() if attempt == 1} == of_the_first


def test_a_crash_of_the_database_is_waited_for(tmp_path: Path) -> None:
    """The same attempt ends the job, and trains no cell twice."""
    with own_postgres() as server, Store.open(server.url) as store, host(server.url, tmp_path / "host") as only:
        job = submit(store, SPEC)
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        server.crash()
        with contextlib.suppress(UnavailableError):
            until(lambda: n_recorded(store, job) < 0, "the database is away", 20)
        until(lambda: "database" in only.log.read_text(), "the dispatcher has seen it", 20)
        server.start()
        until(lambda: is_back(store, job), "the database is back", 20)
        ended = wait_for_end(store, job, only)
        assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 1, 0)
        assert collections.Counter(attempts(store, job).values()) == {1: N_CELLS}


def is_back(store: Store, job: Job) -> bool:
    with contextlib.suppress(UnavailableError):
        return n_recorded(store, job) >= 0
    return False
