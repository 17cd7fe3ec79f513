"""A baseline names a whole job that was made in one way, which then neither changes nor goes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, update

from benchmark.records import Status
from service.states import JobState
from service.store import Baseline, InUseError, InvalidValueError, Job, NotFoundError, Store, UnfitJobError
from service.store.database import Database
from service.store.regression_tables import baseline, replay
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import (
    OTHER_FINGERPRINT,
    SPEC,
    TTL_S,
    make_record,
    new_job,
    queue,
    register,
    running,
    start,
    write,
)

Y_REF = {"digits-mlp": 1 / 3}
N_RACERS = 6


def ended(store: Store, *, n: int = 3, state: JobState = JobState.COMPLETED) -> Job:
    """Return a job that ended, with records for the first n of its 3 cells."""
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(n)])
    store.finish(job.id, job.attempt, state)
    return store.job(job.id)


def named(store: Store, name: str = "main", of: Job | None = None) -> Baseline:
    found = of or ended(store)
    return store.set_baseline(name, found.id, Y_REF, revision=found.revision)[0]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def calibrated(database: Database, found: Baseline) -> None:
    """Write limits and a replay, as a calibration does."""
    with database.write() as connection:
        limits = {"factor": 1.0, "alarm_rate": 0.5, "rank": 1, "statistics": [1.0]}
        changed = update(baseline).where(baseline.c.seq == found.seq)
        connection.execute(changed.values(alarm_rate=0.5, limits=limits))
        connection.execute(insert(replay).values(baseline_seq=found.seq, number=1, statistic=1.0))


def n_replays(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(replay)).all())


def test_a_baseline_is_read_as_it_was_set(store: Store) -> None:
    found = ended(store)
    made, is_new = store.set_baseline("main", found.id, Y_REF, revision=found.revision, principal="key-1")
    assert is_new
    assert (made.name, made.job_id, made.job_name, made.y_ref) == ("main", found.id, found.name, Y_REF)
    assert (made.limits, made.alarm_rate, made.set_by, made.revision) == (None, None, "key-1", 1)
    assert store.baseline("main") == made
    assert store.baselines() == [made]


def test_a_name_that_is_set_again_to_its_job_keeps_everything(store: Store, database: Database) -> None:
    first = ended(store)
    calibrated(database, named(store, of=first))
    before = store.baseline("main")
    again, is_new = store.set_baseline("main", first.id, {}, revision=first.revision, principal="other")
    assert not is_new
    assert again == before
    assert again.limits is not None
    assert n_replays(database) == 1


def test_a_name_that_goes_to_another_job_loses_its_limits_and_replays(store: Store, database: Database) -> None:
    before = named(store)
    calibrated(database, before)
    other = ended(store)
    moved, is_new = store.set_baseline("main", other.id, {"digits-mlp": 0.5}, revision=other.revision, principal="you")
    assert not is_new
    assert (moved.id, moved.job_id, moved.y_ref) == (before.id, other.id, {"digits-mlp": 0.5})
    assert (moved.limits, moved.alarm_rate, moved.set_by, moved.revision) == (None, None, "you", 2)
    assert moved.set_at >= before.set_at
    assert n_replays(database) == 0


def test_baselines_are_listed_oldest_first_by_pages(store: Store) -> None:
    found = ended(store)
    names = ["z", "a", "m"]
    for name in names:
        named(store, name, found)
    page = store.baselines(limit=2)
    assert [one.name for one in page] == names[:2]
    assert [one.name for one in store.baselines(after=page[-1].seq)] == names[2:]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "ä", "a\0b", "x" * 101, "a\n"])
def test_a_name_that_no_path_can_hold_is_refused(store: Store, name: str) -> None:
    found = ended(store)
    with pytest.raises(InvalidValueError, match="the name of a baseline must match"):
        store.set_baseline(name, found.id, Y_REF, revision=found.revision)
    with pytest.raises(NotFoundError, match="there is no baseline"):
        store.baseline(name)


def test_a_reference_that_is_no_number_is_refused(store: Store) -> None:
    found = ended(store)
    with pytest.raises(InvalidValueError, match=r"a reference must be finite, but got {'digits-mlp': nan}"):
        store.set_baseline("main", found.id, {"digits-mlp": float("nan")}, revision=found.revision)


def test_a_job_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no job 'nope'"):
        store.set_baseline("main", "nope", Y_REF, revision=1)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_did_not_end_well_is_refused(store: Store, state: JobState) -> None:
    found = ended(store, state=state)
    with pytest.raises(UnfitJobError, match=f"must be a job that is completed, but job {found.id} is {state}"):
        named(store, of=found)


def test_a_job_that_runs_is_refused(store: Store) -> None:
    with pytest.raises(UnfitJobError, match=r"is running\.$"):
        named(store, of=running(store))


def test_a_job_with_a_cell_that_timed_out_is_refused(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(0), make_record(1, Status.DIVERGED), make_record(2, Status.TIMED_OUT)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    with pytest.raises(UnfitJobError, match=r"but 1 of 3 of job \w+ have none: retry it"):
        named(store, of=store.job(job.id))
    assert store.baselines() == []


def test_a_mixed_job_is_refused(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(0), make_record(1), make_record(2, fingerprint=OTHER_FINGERPRINT)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    with pytest.raises(UnfitJobError, match=r"is mixed: .* Submit its spec again with reuse: false"):
        named(store, of=store.job(job.id))


def test_a_job_whose_optimizers_were_made_in_different_ways_is_taken(store: Store) -> None:
    """Each of them fused or one after another: that is in the fingerprint, and differs by setting."""
    register(store)
    store.register({"0" * 32: {"task": "other"}}, {})
    queue(store)
    job = start(store)
    other = replace(make_record(2, fingerprint=OTHER_FINGERPRINT), setting="0" * 32)
    write(store, job, [make_record(0), make_record(1), other])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    assert named(store, of=store.job(job.id)).job_id == job.id


def test_a_replay_is_refused(store: Store) -> None:
    register(store)
    store.submit(replace(new_job(), replay=2))
    job = start(store)
    write(store, job, [make_record(cell) for cell in range(3)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    with pytest.raises(UnfitJobError, match="replays another one under a harmless change"):
        named(store, of=store.job(job.id))


def test_a_job_that_changed_since_its_table_was_made_is_refused(store: Store) -> None:
    found = ended(store)
    with pytest.raises(UnfitJobError, match="changed while it was made a baseline; try again"):
        store.set_baseline("main", found.id, Y_REF, revision=found.revision - 1)


def test_a_job_that_a_baseline_names_is_neither_deleted_nor_extended(store: Store) -> None:
    found = ended(store)
    named(store, "main", found)
    named(store, "also", found)
    with pytest.raises(InUseError, match=f"cannot delete job {found.id} while a baseline names it: also, main; set"):
        store.delete(found.id)
    with pytest.raises(InUseError, match=f"cannot extend job {found.id} while"):
        store.extend(found.id, SPEC, 5)
    assert store.job(found.id) == found
    store.delete_baseline("main")
    store.delete_baseline("also")
    assert store.baselines() == []
    store.delete(found.id)
    with pytest.raises(NotFoundError, match="there is no baseline 'main'"):
        store.delete_baseline("main")


def test_pruning_leaves_what_a_baseline_names(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    kept, other = ended(store), ended(store)
    named(store, of=kept)
    clock.turn(10.0)
    prunable = store.prunable(5.0)
    assert [one.id for one in prunable.jobs] == [other.id]
    assert not store.prune_job(kept.id, prunable.before)
    assert store.prune_job(other.id, prunable.before)


@pytest.mark.slow
def test_one_of_many_makes_a_name_and_the_last_keeps_it(own_database_url: str) -> None:
    with Store.open(own_database_url) as store:
        jobs = [ended(store) for _ in range(N_RACERS)]
    barrier = threading.Barrier(N_RACERS)

    def run(found: Job) -> bool:
        with Store.open(own_database_url) as store:
            barrier.wait(timeout=60)
            return store.set_baseline("main", found.id, Y_REF, revision=found.revision)[1]

    with ThreadPoolExecutor(N_RACERS) as pool:
        assert sum(pool.map(run, jobs)) == 1
    with Store.open(own_database_url) as store:
        (one,) = store.baselines()
        assert one.revision == N_RACERS
        assert one.job_id in {found.id for found in jobs}


@pytest.mark.slow
def test_a_job_is_named_or_goes_but_not_both(own_database_url: str) -> None:
    """Whoever deletes or prunes it beside somebody who names it."""
    with Store.open(own_database_url) as store:
        for number in range(10):
            found = ended(store)
            barrier = threading.Barrier(3)

            def name(found: Job = found, barrier: threading.Barrier = barrier, number: int = number) -> None:
                barrier.wait(timeout=60)
                named(store, f"b{number}", found)

            def drop(found: Job = found, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(timeout=60)
                store.delete(found.id)

            def prune(found: Job = found, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(timeout=60)
                store.prune_job(found.id, found.created_at + TTL_S * 1_000)

            with ThreadPoolExecutor(3) as pool:
                outcomes = [future.exception() for future in [pool.submit(run) for run in (name, drop, prune)]]
            assert all(isinstance(error, NotFoundError | InUseError | None) for error in outcomes), outcomes
            is_named = f"b{number}" in {one.name for one in store.baselines()}
            assert is_named == bool(store.jobs_of([found.id]))
