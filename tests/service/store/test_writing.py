"""Records are inserted once, linked once a cell, and counted."""

import math
from dataclasses import replace

import pytest

from benchmark.records import Diagnostics, Status
from service.states import JobState
from service.store import InvalidValueError, LostLeaseError, Store
from service.store.rows import shape_of
from tests.service.store.samples import (
    FINGERPRINT,
    OTHER_FINGERPRINT,
    TTL_S,
    key_of,
    make_outcome,
    make_record,
    place,
    queue,
    register,
    running,
    start,
    want,
    write,
)


def test_records_come_back_as_they_were_written(store: Store) -> None:
    job = running(store)
    records = [make_record(cell, status) for cell, status in enumerate(Status)]

    write(store, job, records)

    found = store.records(job.id)
    assert {item.record.id: item.record for item in found} == {record.id: record for record in records}
    assert {(item.task, item.optimizer, item.reused) for item in found} == {("digits-mlp", "sam", False)}
    assert {(item.job_id, item.attempt) for item in found} == {(job.id, 1)}
    assert store.record(records[0].id).record == records[0]


def test_a_repeated_write_changes_nothing_but_the_lease(store: Store) -> None:
    job = running(store)
    records = [make_record(cell) for cell in range(3)]
    write(store, job, records)
    before = store.progress(job.id), store.records(job.id)

    write(store, job, records)

    after = store.progress(job.id), store.records(job.id)
    assert before[1] == after[1]
    assert before[0].completed == after[0].completed == 3


def test_a_second_training_in_one_attempt_is_not_kept(store: Store) -> None:
    job = running(store)
    first, second = make_record(0), make_record(0)
    write(store, job, [first])
    write(store, job, [second])
    assert [item.record for item in store.records(job.id)] == [first]


def test_progress_counts_every_status(store: Store) -> None:
    job = running(store, n_cells=10)
    write(store, job, [make_record(cell, status) for cell, status in enumerate(Status)])
    write(store, job, [make_record(5, outcome=make_outcome(collapsed=True))])

    progress = store.progress(job.id)

    assert (progress.total, progress.completed, progress.collapsed) == (10, 2, 1)
    assert (progress.diverged, progress.timed_out, progress.failed, progress.reused) == (1, 1, 1, 0)
    assert (progress.n_linked, progress.n_missing) == (5, 7)
    assert progress.fingerprints == (FINGERPRINT,)
    assert progress.first_record_at is not None
    assert progress.last_record_at is not None
    assert progress.first_record_at <= progress.last_record_at
    assert store.progress_of([job.id, "nobody"]) == {job.id: progress}


def test_a_write_renews_the_lease_and_tells_what_is_requested(store: Store) -> None:
    job = running(store)
    assert write(store, job, [make_record(0)]) is None
    store.cancel(job.id)
    assert store.write_records(job.id, job.attempt, place(make_record(1)), 3600) == "cancel"
    renewed = store.job(job.id)
    assert renewed.lease_until is not None
    assert job.lease_until is not None
    assert renewed.lease_until > job.lease_until + 3000
    assert renewed.revision > job.revision


@pytest.mark.parametrize("n_records", [0, 2])
def test_who_lost_the_lease_writes_nothing(store: Store, n_records: int) -> None:
    zombie = running(store)
    store.release(zombie.id, zombie.attempt, crashed=False)
    heir = start(store, "two")
    write(store, heir, [make_record(0)])
    before = store.job(heir.id)

    records = [make_record(cell) for cell in range(n_records)]
    with pytest.raises(LostLeaseError, match="not run by attempt 1 any more"):
        write(store, zombie, records)
    with pytest.raises(LostLeaseError, match="not run by attempt 1 any more"):
        store.link_reusable(zombie.id, zombie.attempt, want(1, 2), TTL_S)

    assert store.job(heir.id) == before
    assert [item.attempt for item in store.records(heir.id)] == [2]


def test_an_unregistered_key_is_refused_whole(store: Store) -> None:
    queue(store)
    job = start(store)
    with pytest.raises(InvalidValueError, match=r"fingerprint .* was not registered; nothing was written"):
        write(store, job, [make_record(0)])
    register(store)
    write(store, job, [make_record(0)])
    assert store.progress(job.id).completed == 1


def test_the_id_of_another_record_is_refused_whole(store: Store) -> None:
    first = running(store)
    record = make_record(0)
    write(store, first, [record])
    queue(store)
    second = start(store)
    with pytest.raises(InvalidValueError, match="belongs to another record"):
        write(store, second, [make_record(1), record])
    assert store.progress(second.id).n_linked == 0
    with pytest.raises(InvalidValueError, match="key"):
        write(store, second, [make_record(1, fingerprint="no hash")])


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT])
def test_a_retry_moves_the_link_of_a_cell_without_a_result(store: Store, status: Status) -> None:
    job = running(store, n_cells=2)
    done, lost = make_record(0), make_record(1, status)
    write(store, job, [done, lost])
    assert store.done_keys(job.id) == ({key_of(0), key_of(1)} if status is Status.TIMED_OUT else {key_of(0)})
    assert store.failed_keys(job.id) == ({key_of(1)} if status is Status.FAILED else set())
    store.finish(job.id, job.attempt, JobState.FAILED, "one cell failed")

    store.retry(job.id)
    again = start(store)
    assert store.done_keys(job.id) == {key_of(0)}
    assert store.failed_keys(job.id) == set()
    fresh = make_record(1)
    write(store, again, [make_record(0), fresh])

    assert [item.record.id for item in store.records(job.id)] == [
        record.id for record in sorted((done, fresh), key=lambda record: record.config_key)
    ]
    progress = store.progress(job.id)
    assert (progress.completed, progress.n_linked, progress.n_missing) == (2, 2, 0)
    assert store.record(lost.id).record == lost


def test_a_cell_that_fails_again_is_failed_since_the_retry(store: Store) -> None:
    job = running(store, n_cells=1)
    write(store, job, [make_record(0, Status.FAILED)])
    store.finish(job.id, job.attempt, JobState.FAILED)
    store.retry(job.id)
    again = start(store)
    write(store, again, [make_record(0, Status.FAILED)])
    assert store.failed_keys(job.id) == {key_of(0)}
    assert store.progress(job.id).failed == 1


def test_the_newest_result_of_the_same_fingerprint_is_reused(store: Store) -> None:
    older = running(store)
    write(store, older, [make_record(0), make_record(1, Status.FAILED), make_record(2, fingerprint=OTHER_FINGERPRINT)])
    store.finish(older.id, older.attempt, JobState.FAILED)
    newer = running(store)
    newest = make_record(0, Status.DIVERGED)
    write(store, newer, [newest])
    store.finish(newer.id, newer.attempt, JobState.COMPLETED)

    job = running(store)
    assert store.link_reusable(job.id, job.attempt, want(0, 1, 2, 3), TTL_S) == {key_of(0)}
    assert store.link_reusable(job.id, job.attempt, want(0, 1, 2, 3), TTL_S) == set()

    (found,) = store.records(job.id)
    assert (found.record, found.job_id, found.reused) == (newest, newer.id, True)
    progress = store.progress(job.id)
    assert (progress.reused, progress.diverged, progress.n_linked) == (1, 1, 1)
    assert progress.first_record_at is None


def test_a_curve_that_is_asked_for_must_be_there(store: Store) -> None:
    job = running(store)
    without = make_record(0, outcome=make_outcome(curve={}))
    early = make_record(1, outcome=make_outcome(Status.DIVERGED, curve={"step": (), "train_loss": ()}))
    write(store, job, [without, early])
    assert [item.record for item in store.records(job.id)] == sorted([without, early], key=lambda item: item.config_key)
    store.finish(job.id, job.attempt, JobState.COMPLETED)

    job = running(store)
    assert store.link_reusable(job.id, job.attempt, want(0, 1, needs_curve=True), TTL_S) == {key_of(1)}
    assert store.link_reusable(job.id, job.attempt, want(0, 1), TTL_S) == {key_of(0)}


def test_a_mean_radius_comes_back_and_a_record_without_one_has_none(store: Store) -> None:
    """The second kind is what an earlier version wrote: its shape names no number after the metrics."""
    job = running(store)
    outcomes = [
        replace(make_outcome(status), diagnostics=Diagnostics(1.5, 0.5, mean_delta))
        for status, mean_delta in ((Status.COMPLETED, 1 / 3), (Status.DIVERGED, 0.0), (Status.COMPLETED, None))
    ]
    records = [make_record(cell, outcome=outcome) for cell, outcome in enumerate(outcomes)]
    write(store, job, records)
    found = {item.record.config_key: item.record for item in store.records(job.id)}
    assert found == {record.config_key: record for record in records}
    assert "diagnostics" not in shape_of(records[2])[1]


def test_a_control_is_reused_at_its_own_radius_alone(store: Store) -> None:
    older = running(store)
    hyperparameters = {"lr": 0.1, "rho": 0.5}
    write(
        store,
        older,
        [make_record(0, hyperparameters={**hyperparameters, "radius": 0.25}), make_record(1)],
    )
    store.finish(older.id, older.attempt, JobState.COMPLETED)
    job = running(store)
    other, same, unmatched = (
        replace(cell, radius=radius) for cell, radius in zip(want(0, 0, 1), (0.250000000001, 0.25, 0.25), strict=True)
    )
    assert store.link_reusable(job.id, job.attempt, [other, unmatched], TTL_S) == set()
    assert store.link_reusable(job.id, job.attempt, [same], TTL_S) == {key_of(0)}


def test_metrics_that_are_asked_for_must_be_there(store: Store) -> None:
    """Only of a completed record: a diverged one has none, and needs none."""
    job = running(store)
    sharp = replace(make_outcome(), metrics={**make_outcome().metrics, "sharpness_sam": 0.5})
    write(store, job, [make_record(0), make_record(1, outcome=sharp), make_record(2, Status.DIVERGED)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    keys = [key_of(cell) for cell in range(4)]
    assert store.count_reusable(FINGERPRINT, keys) == 3
    assert store.count_reusable(FINGERPRINT, keys, ["sharpness_sam"]) == 2
    assert store.count_reusable(FINGERPRINT, keys, ["sharpness_sam", "sharpness_trace"]) == 1

    other = running(store)
    needing = [replace(cell, needs_metrics=("sharpness_sam",)) for cell in want(0, 1, 2)]
    assert store.link_reusable(other.id, other.attempt, needing, TTL_S) == {key_of(1), key_of(2)}
    assert store.link_reusable(other.id, other.attempt, want(0), TTL_S) == {key_of(0)}


def test_the_newest_record_with_the_metrics_counts(store: Store) -> None:
    sharp = replace(make_outcome(), metrics={**make_outcome().metrics, "sharpness_sam": 0.5})
    for outcome in (sharp, make_outcome()):
        job = running(store)
        write(store, job, [make_record(0, outcome=outcome)])
        store.finish(job.id, job.attempt, JobState.COMPLETED)
    job = running(store)
    needing = [replace(cell, needs_metrics=("sharpness_sam",)) for cell in want(0)]
    assert store.link_reusable(job.id, job.attempt, needing, TTL_S) == {key_of(0)}
    (found,) = store.records(job.id)
    assert found.record.outcome.metrics["sharpness_sam"] == 0.5


def test_large_batches_are_cut_where_a_statement_has_limits(store: Store) -> None:
    job = running(store, n_cells=1200)
    records = [make_record(cell) for cell in range(1200)]
    write(store, job, records)
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    other = running(store, n_cells=1200)
    assert len(store.link_reusable(other.id, other.attempt, want(*range(1300)), TTL_S)) == 1200
    assert store.progress(other.id).reused == 1200
    assert len(store.done_keys(other.id)) == 1200
    assert [item.record.config_key for item in store.iter_records(other.id)] == sorted(map(key_of, range(1200)))


@pytest.mark.parametrize(
    ("hyperparameters", "match"),
    [({"k": 1 << 63}, "63 bits"), ({"a\0b": 1.0}, "NUL"), ({"\ud800": 1.0}, "surrogate")],
)
def test_what_no_database_keeps_is_refused(store: Store, hyperparameters: dict[str, int], match: str) -> None:
    job = running(store)
    with pytest.raises(InvalidValueError, match=match):
        write(store, job, [make_record(0), make_record(1, hyperparameters={**hyperparameters})])
    assert store.progress(job.id).n_linked == 0


def test_what_is_not_finite_in_a_curve_comes_back(store: Store) -> None:
    job = running(store)
    curve = {"step": (1.0, 2.0, 3.0), "train_loss": (math.inf, -math.inf, math.nan), "zero": (-0.0, 0.0, 1e300)}
    write(store, job, [make_record(0, outcome=make_outcome(Status.DIVERGED, curve=curve))])
    (found,) = store.records(job.id)
    assert repr(dict(found.record.outcome.curve)) == repr(curve)
