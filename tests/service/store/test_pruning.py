"""What ended long ago goes, with all that nobody else uses; whatever is younger, alive or shared stays."""

import pytest

from benchmark.records import Status
from service.states import JobState
from service.store import InvalidValueError, Job, JobQuery, NotFoundError, Store
from service.store.database import Database
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import TTL_S, make_record, new_job, queue, running, start, want, write

pytestmark = pytest.mark.slow

DAY_S = 24 * 3600.0


@pytest.fixture
def clock(clock_and_store: tuple[TurnedClock, Store]) -> TurnedClock:
    return clock_and_store[0]


@pytest.fixture
def store(clock_and_store: tuple[TurnedClock, Store]) -> Store:
    return clock_and_store[1]


def ended(store: Store, *cells: int, state: JobState = JobState.COMPLETED) -> Job:
    job = running(store)
    write(store, job, [make_record(cell) for cell in cells])
    return store.finish(job.id, job.attempt, state)


def prune(store: Store, older_than_s: float) -> tuple[set[str], int]:
    """Prune as people do, and hold that the announcement was exact."""
    plan = store.prunable(older_than_s)
    deleted = {job.id for job in plan.jobs if store.prune_job(job.id, plan.before)}
    n_records = sum(store.prune_records())
    assert (deleted, n_records) == ({job.id for job in plan.jobs}, plan.n_records)
    store.prune_keys()
    after = store.prunable(older_than_s)
    assert (after.jobs, after.n_records, after.n_keys) == ((), 0, 0)
    return deleted, n_records


def test_only_jobs_that_ended_before_are_deleted(store: Store, clock: TurnedClock) -> None:
    old = [ended(store, 0, state=state) for state in JobState if state.is_terminal]
    waiting, paused = queue(store, "waiting", n_cells=1), queue(store, "paused")
    store.pause(paused.id)
    active = start(store, ttl_s=1e9)
    assert active.id == waiting.id
    clock.turn(10 * DAY_S)
    young = ended(store, 1)
    clock.turn(1.0)

    plan = store.prunable(9 * DAY_S)
    assert {(job.id, job.name, job.state) for job in plan.jobs} == {(job.id, job.name, job.state) for job in old}
    assert all(job.age_s == pytest.approx(10 * DAY_S + 1, abs=0.01) for job in plan.jobs)
    assert len(store.jobs()) == 6

    assert prune(store, 9 * DAY_S) == ({job.id for job in old}, 3)
    assert {job.id for job in store.jobs()} == {young.id, active.id, paused.id}
    assert len(store.records(young.id)) == 1
    assert store.jobs(JobQuery(tags=["nightly"])) == []


def test_a_record_that_a_younger_job_uses_stays_until_that_goes_too(store: Store, clock: TurnedClock) -> None:
    older = ended(store, 0, 1)
    shared = next(
        item.record for item in store.records(older.id) if item.record.config_key == make_record(0).config_key
    )
    clock.turn(10 * DAY_S)
    younger = running(store)
    store.link_reusable(younger.id, younger.attempt, want(0), TTL_S)
    store.finish(younger.id, younger.attempt, JobState.COMPLETED)

    assert prune(store, DAY_S) == ({older.id}, 1)
    assert [item.record for item in store.records(younger.id)] == [shared]

    clock.turn(10 * DAY_S)
    assert prune(store, DAY_S) == ({younger.id}, 1)
    with pytest.raises(NotFoundError, match="there is no record"):
        store.record(shared.id)


def test_records_without_any_job_go_whatever_their_age(store: Store) -> None:
    older = ended(store, 0)
    younger = running(store)
    store.link_reusable(younger.id, younger.attempt, want(0), TTL_S)
    store.finish(younger.id, younger.attempt, JobState.COMPLETED)
    store.delete(older.id)
    store.delete(younger.id)
    assert prune(store, 1000 * DAY_S) == (set(), 1)


def test_what_a_retry_replaced_stays_as_long_as_its_job(store: Store, clock: TurnedClock) -> None:
    job = running(store)
    failed = make_record(0, Status.FAILED)
    write(store, job, [failed])
    store.finish(job.id, job.attempt, JobState.FAILED)
    store.retry(job.id)
    again = start(store)
    write(store, again, [make_record(0)])
    assert prune(store, 0) == (set(), 0)
    store.finish(job.id, again.attempt, JobState.COMPLETED)
    assert store.record(failed.id).record == failed
    clock.turn(DAY_S)
    assert prune(store, 0) == ({job.id}, 2)


def test_a_job_that_was_queued_again_after_the_look_stays(store: Store, clock: TurnedClock) -> None:
    job = ended(store, 0, state=JobState.FAILED)
    clock.turn(DAY_S)
    plan = store.prunable(0)
    store.retry(job.id)
    assert not store.prune_job(job.id, plan.before)
    again = start(store)
    store.finish(job.id, again.attempt, JobState.FAILED)
    assert not store.prune_job(job.id, plan.before), "it ended after the time that was announced"
    assert sum(store.prune_records()) == 0
    assert len(store.records(job.id)) == 1
    store.delete(job.id)
    assert not store.prune_job(job.id, plan.before)


def test_what_an_interrupted_call_left_is_made_up_for(store: Store, clock: TurnedClock) -> None:
    job = ended(store, *range(1200))
    clock.turn(DAY_S)
    assert store.prune_job(job.id, store.prunable(0).before)
    assert store.prunable(1000 * DAY_S).n_records == 1200
    assert prune(store, 1000 * DAY_S) == (set(), 1200)


def test_old_keys_and_those_of_deleted_jobs_go(store: Store, clock: TurnedClock) -> None:
    first, _ = store.submit(new_job(), idempotency_key="old")
    clock.turn(2 * DAY_S)
    second, _ = store.submit(new_job(), principal="ci", idempotency_key="young")
    store.cancel(second.id)
    assert store.prunable(DAY_S).n_keys == 0, "submitting forgets the old ones already"
    clock.turn(DAY_S / 2)
    plan = store.prunable(DAY_S / 4)
    assert ([job.id for job in plan.jobs], plan.n_keys) == ([second.id], 1)
    prune(store, DAY_S / 4)
    clock.turn(1.0)
    third, created = store.submit(new_job(), idempotency_key="now")
    assert created
    clock.turn(2 * DAY_S)
    assert store.prunable(1000 * DAY_S).n_keys == 1
    assert store.prune_keys() == 1
    assert {job.id for job in store.jobs()} == {first.id, third.id}


def test_space_is_given_back_where_that_is_quick(store: Store, backend: str) -> None:
    job = ended(store, *range(4000))
    store.delete(job.id)
    space = store.reclaim()
    if backend == "postgresql":
        assert space is None
        return
    assert space is not None
    assert space.after_bytes < space.before_bytes / 2
    assert space.free_bytes == 0
    again = store.reclaim()
    assert again is not None
    assert again.after_bytes == again.before_bytes == space.after_bytes


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_in_use_is_left_as_it_is(store: Store, backend: str, own_database_url: str) -> None:
    job = ended(store, *range(500))
    store.delete(job.id)
    other = Database(own_database_url)
    with other.write():
        space = store.reclaim()
    other.close()
    assert space is not None
    assert space.after_bytes == space.before_bytes
    assert space.free_bytes > 0


def test_a_time_must_be_one(store: Store) -> None:
    with pytest.raises(InvalidValueError, match="older_than_s must be finite and not negative"):
        store.prunable(-1.0)
