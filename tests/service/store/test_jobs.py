"""Jobs are submitted once, found, steered by the table of transitions, and deleted without harm to others."""

import dataclasses
import math
from collections.abc import Callable

import pytest

from benchmark.records import Status
from service.states import IllegalTransitionError, JobState, Request
from service.store import (
    IdempotencyConflictError,
    InvalidValueError,
    Job,
    JobQuery,
    NewJob,
    NotFoundError,
    Store,
)
from tests.service.store.samples import (
    SPEC,
    TTL_S,
    key_of,
    make_record,
    new_job,
    queue,
    running,
    start,
    want,
    write,
)


def test_a_submitted_job_is_queued_as_it_was_given(store: Store) -> None:
    job, created = store.submit(new_job("nightly", n_cells=7, priority=-2, tags=("b", "a"), submitted_by="ci"))
    assert created
    assert (job.name, job.spec, job.tags, job.n_cells, job.priority) == ("nightly", SPEC, ("b", "a"), 7, -2)
    assert (job.state, job.requested, job.attempt, job.crashes, job.submitted_by) == (JobState.QUEUED, None, 0, 0, "ci")
    assert (job.owner, job.lease_until, job.started_at, job.finished_at, job.error) == (None, None, None, None, None)
    assert store.job(job.id) == job
    assert store.progress(job.id).total == 7


def test_the_same_key_and_body_give_the_job_as_it_is_now(store: Store) -> None:
    first, created = store.submit(new_job(), principal="ci", idempotency_key="k")
    assert created
    store.pause(first.id)
    again, created = store.submit(new_job(), principal="ci", idempotency_key="k")
    assert (again.id, again.state, created) == (first.id, JobState.PAUSED, False)
    assert len(store.jobs()) == 1


def test_the_same_key_with_another_body_is_a_conflict(store: Store) -> None:
    store.submit(new_job(), idempotency_key="k")
    with pytest.raises(IdempotencyConflictError, match="'k' was used before with another body"):
        store.submit(new_job(priority=1), idempotency_key="k")
    assert len(store.jobs()) == 1


def test_keys_of_other_principals_and_of_deleted_jobs_are_free(store: Store) -> None:
    first, _ = store.submit(new_job(), principal="a", idempotency_key="k")
    second, created = store.submit(new_job(), principal="b", idempotency_key="k")
    assert created
    store.cancel(first.id)
    store.delete(first.id)
    third, created = store.submit(new_job(), principal="a", idempotency_key="k")
    assert created
    assert len({first.id, second.id, third.id}) == 3


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "a\0b"}, "name must not hold NUL"),
        ({"name": "\ud800"}, "half a surrogate"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"tags": ("a\0",)}, "a tag must not hold NUL"),
        ({"submitted_by": "\0"}, "submitted_by"),
        ({"spec": {"rho": math.nan}}, "spec must be plain values"),
        ({"spec": {"rho": math.inf}}, "spec must be plain values"),
        ({"spec": {"rho": object()}}, "spec must be plain values"),
        ({"spec": {"tasks": [{"name": "a\0"}]}}, "a task must not hold NUL"),
        ({"n_cells": 1 << 31}, "n_cells <= 2147483647"),
        ({"n_cells": -1}, "0 <= n_cells"),
        ({"priority": 1 << 31}, "priority <="),
        ({"max_crashes": 0}, "1 <= max_crashes"),
    ],
)
def test_what_no_database_keeps_is_refused(store: Store, change: dict[str, object], match: str) -> None:
    with pytest.raises(InvalidValueError, match=match):
        store.submit(dataclasses.replace(new_job(), **change))  # type: ignore[arg-type]  # wrong on purpose
    assert store.jobs() == []


def test_a_spec_with_unusual_text_comes_back(store: Store) -> None:
    spec = {"tasks": "none", "note": "NUL \0 and emoji \U0001f600, a large number", "n": 1 << 80}
    job, _ = store.submit(NewJob(name="größer", spec=spec, n_cells=1))
    assert store.job(job.id).spec == spec
    assert [found.id for found in store.jobs(JobQuery(text="größ"))] == [job.id]


@pytest.mark.parametrize("backend", ["sqlite"])  # PostgreSQL goes by the locale with which its database was made
def test_a_text_is_found_whatever_its_case_in_any_alphabet(store: Store, backend: str) -> None:
    job = queue(store, "Äpfel und БИРНЕН")
    assert [found.id for text in ("äpfel", "ÄPFEL", "бирн") for found in store.jobs(JobQuery(text=text))] == 3 * [
        job.id
    ]


@pytest.mark.parametrize("job_id", ["nobody", "", "a\0b", "A" * 40, "../x", "\ud800"])
def test_an_unknown_job_is_not_found(store: Store, job_id: str) -> None:
    calls: list[Callable[[str], object]] = [
        store.job,
        store.progress,
        store.records,
        store.delete,
        store.pause,
        store.resume,
        store.cancel,
        store.retry,
        store.done_keys,
        store.failed_keys,
        lambda job_id: next(store.iter_records(job_id)),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="there is no job"):
            call(job_id)


def test_waiting_jobs_are_steered_at_once(store: Store) -> None:
    job = queue(store)
    paused = store.pause(job.id)
    assert (paused.state, paused.revision) == (JobState.PAUSED, job.revision + 1)
    assert store.claim("one", TTL_S) is None
    assert store.resume(job.id).state is JobState.QUEUED
    cancelled = store.cancel(job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.finished_at is not None


def test_the_owner_of_a_running_job_is_asked(store: Store) -> None:
    job = running(store)
    asked = store.pause(job.id)
    assert (asked.state, asked.requested, asked.owner) == (JobState.RUNNING, Request.PAUSE, "one")
    assert store.pause(job.id) == asked
    assert store.cancel(job.id).requested is Request.CANCEL
    with pytest.raises(IllegalTransitionError, match="cancel was requested before"):
        store.pause(job.id)
    with pytest.raises(IllegalTransitionError, match="cannot resume a job that is running"):
        store.resume(job.id)


def test_a_finished_job_is_retried_with_new_limits(store: Store) -> None:
    job = running(store)
    store.finish(job.id, job.attempt, JobState.FAILED, "no good")
    again = store.retry(job.id, {"cell_s": 5})
    assert (again.state, again.error, again.finished_at, again.crashes) == (JobState.QUEUED, None, None, 0)
    assert (again.attempt, again.retried_after) == (1, 1)
    assert again.spec == {**SPEC, "limits": {"cell_s": 5, "job_s": 600}}
    assert store.jobs(JobQuery(task="digits-mlp")) == [again]
    with pytest.raises(InvalidValueError, match="limits must be plain values"):
        store.retry(job.id, {"cell_s": math.inf})


def test_a_completed_job_is_retried_only_for_cells_without_a_result(store: Store) -> None:
    job = running(store, n_cells=2)
    write(store, job, [make_record(0, Status.DIVERGED), make_record(1, Status.TIMED_OUT)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    store.retry(job.id)
    again = start(store)
    write(store, again, [make_record(1)])
    store.finish(job.id, again.attempt, JobState.COMPLETED)
    with pytest.raises(IllegalTransitionError, match="every cell has its result"):
        store.retry(job.id)


def test_a_finished_job_is_extended(store: Store) -> None:
    job = running(store, n_cells=1)
    with pytest.raises(IllegalTransitionError, match="cannot extend a job that is running"):
        store.extend(job.id, {}, 2)
    write(store, job, [make_record(0)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    larger = store.extend(job.id, {"tasks": [{"name": "cifar"}]}, 5)
    assert (larger.state, larger.n_cells, larger.attempt) == (JobState.QUEUED, 5, 1)
    assert store.jobs(JobQuery(task="digits-mlp")) == []
    assert store.jobs(JobQuery(task="cifar")) == [larger]
    assert store.progress(job.id).n_missing == 4


def test_only_finished_jobs_are_deleted(store: Store) -> None:
    job = running(store)
    with pytest.raises(IllegalTransitionError, match="cannot delete a job that is running"):
        store.delete(job.id)
    store.finish(job.id, job.attempt, JobState.CANCELLED)
    store.delete(job.id)
    with pytest.raises(NotFoundError, match="there is no job"):
        store.job(job.id)
    assert store.jobs(JobQuery(tags=["nightly"])) == []


def _finished(store: Store, *cells: int) -> Job:
    job = running(store)
    write(store, job, [make_record(cell) for cell in cells])
    return store.finish(job.id, job.attempt, JobState.COMPLETED)


def test_a_record_that_another_job_uses_survives_its_job(store: Store) -> None:
    older = _finished(store, 0, 1)
    used, unused = sorted(store.records(older.id), key=lambda item: item.record.config_key != key_of(0))
    younger = running(store)
    store.link_reusable(younger.id, younger.attempt, want(0), TTL_S)

    store.delete(older.id)

    (kept,) = store.records(younger.id)
    assert (kept.record, kept.job_id, kept.reused) == (used.record, older.id, True)
    assert store.record(used.record.id).job_id == older.id
    with pytest.raises(NotFoundError, match="there is no record"):
        store.record(unused.record.id)


def test_a_deleted_job_takes_the_records_along_that_a_retry_replaced(store: Store) -> None:
    job = running(store)
    failed = make_record(0, Status.FAILED)
    write(store, job, [failed])
    store.finish(job.id, job.attempt, JobState.FAILED)
    store.retry(job.id)
    again = start(store)
    write(store, again, [make_record(0)])
    store.finish(job.id, again.attempt, JobState.COMPLETED)
    assert store.record(failed.id).record == failed
    store.delete(job.id)
    with pytest.raises(NotFoundError, match="there is no record"):
        store.record(failed.id)
