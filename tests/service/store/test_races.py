"""Several dispatchers and clients at once: no job is claimed twice, no key makes two jobs, nobody waits in vain."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.states import JobState
from service.store import Store, StoreError
from tests.service.store.samples import TTL_S, make_record, new_job, queue, register, running, want, write

pytestmark = pytest.mark.slow

N_RACERS = 8


def race(url: str, run: Callable[[Store, int], object]) -> list[object]:
    """Run a function in threads that start together, each with a store of its own."""
    barrier = threading.Barrier(N_RACERS)

    def enter(number: int) -> object:
        with Store.open(url) as store:
            barrier.wait(timeout=60)
            return run(store, number)

    with ThreadPoolExecutor(N_RACERS) as pool:
        return list(pool.map(enter, range(N_RACERS)))


@pytest.mark.parametrize("n_jobs", [24, pytest.param(500, marks=pytest.mark.slow)])
def test_no_job_is_claimed_twice(database_url: str, n_jobs: int) -> None:
    with Store.open(database_url) as store:
        register(store)
        submitted = {queue(store, str(number)).id for number in range(n_jobs)}

    def drain(store: Store, number: int) -> list[tuple[str, int]]:
        mine = []
        while job := store.claim(f"owner {number}", TTL_S):
            write(store, job, [make_record(0)])
            store.finish(job.id, job.attempt, JobState.COMPLETED)
            mine.append((job.id, job.attempt))
        return mine

    claimed = [pair for pairs in race(database_url, drain) for pair in pairs]  # type: ignore[attr-defined]
    assert Counter(claimed) == Counter((job_id, 1) for job_id in submitted)
    with Store.open(database_url) as store:
        assert store.census(TTL_S).jobs == {JobState.COMPLETED: n_jobs}
        assert all(len(store.records(job_id)) == 1 for job_id in submitted)


def test_one_of_many_takes_over_a_job_whose_lease_ran_out(database_url: str) -> None:
    with Store.open(database_url) as store:
        queue(store)
        store.claim("dead", 0)
    claimed = [job for job in race(database_url, lambda store, number: store.claim(str(number), TTL_S)) if job]
    assert len(claimed) == 1


def test_the_limit_of_a_submitter_holds_when_many_claim(database_url: str) -> None:
    with Store.open(database_url) as store:
        for number in range(N_RACERS):
            queue(store, str(number))
    claimed = race(database_url, lambda store, number: store.claim(str(number), TTL_S, max_running=2))
    assert sum(job is not None for job in claimed) == 2


def test_one_key_makes_one_job(database_url: str) -> None:
    made = race(database_url, lambda store, _: [store.submit(new_job(), idempotency_key=str(key)) for key in range(5)])
    pairs = [pair for pairs in made for pair in pairs]  # type: ignore[attr-defined]
    assert sum(created for _, created in pairs) == 5
    assert len({job.id for job, _ in pairs}) == 5


def test_one_job_alone_is_asked_to_make_room(database_url: str) -> None:
    with Store.open(database_url) as store:
        for number in range(3):
            queue(store, str(number))
            store.claim("one", TTL_S)
        queue(store, priority=1)
    asked = race(database_url, lambda store, _: store.preempt_candidate(60))
    assert sum(job is not None for job in asked) == 1


def delete_one(store: Store, job_id: str) -> None:
    store.delete(job_id)


def prune_all(store: Store, job_id: str) -> None:
    plan = store.prunable(0)
    for job in plan.jobs:
        store.prune_job(job.id, plan.before)
    assert sum(store.prune_records()) <= 80


@pytest.mark.parametrize("remove", [delete_one, prune_all])
def test_records_are_reused_while_their_job_is_deleted(database_url: str, remove: Callable[[Store, str], None]) -> None:
    with Store.open(database_url) as store:
        doomed = []
        for _ in range(N_RACERS // 2):
            job = running(store)
            write(store, job, [make_record(cell) for cell in range(20)])
            store.finish(job.id, job.attempt, JobState.COMPLETED)
            doomed.append(job.id)
        heirs = [running(store) for _ in range(N_RACERS // 2)]

    def act(store: Store, number: int) -> None:
        if number % 2:
            remove(store, doomed[number // 2])
        else:
            heir = heirs[number // 2]
            store.link_reusable(heir.id, heir.attempt, want(*range(20)), TTL_S)

    race(database_url, act)
    with Store.open(database_url) as store:
        for heir in heirs:
            progress = store.progress(heir.id)
            assert progress.n_linked == progress.reused == len(store.records(heir.id))


def test_a_stores_threads_share_it(store: Store) -> None:
    job = running(store, n_cells=160)

    def act(number: int) -> None:
        for cell in range(number * 20, number * 20 + 20):
            write(store, job, [make_record(cell)])
            store.progress(job.id)

    with ThreadPoolExecutor(N_RACERS) as pool:
        errors = [future.exception() for future in [pool.submit(act, number) for number in range(N_RACERS)]]
    assert [error for error in errors if isinstance(error, StoreError)] == []
    assert errors == [None] * N_RACERS
    assert store.progress(job.id).completed == 160
