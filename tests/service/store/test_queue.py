"""The queue hands out each job to one owner at a time, in order, and settles what nobody owns any more."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from service.states import JobState, Request
from service.store import InFlight, InvalidValueError, LostLeaseError, Store
from service.summary import progress_values
from tests.service.store.samples import TTL_S, make_record, new_job, queue, running, start, write

LAPSED = 0.0  # a lease of no length is over at once


def lapse(store: Store, times: int = 1) -> None:
    for number in range(times):
        start(store, f"silent-{number}", ttl_s=LAPSED)


def test_jobs_are_claimed_by_priority_and_then_in_order(store: Store) -> None:
    low, first, second = (queue(store, priority=priority) for priority in (-1, 5, 5))
    assert [start(store).id for _ in range(3)] == [first.id, second.id, low.id]
    assert store.claim("one", TTL_S) is None


def test_one_job_alone_can_be_claimed(store: Store) -> None:
    queue(store)
    wanted = queue(store)
    claimed = store.claim("one", TTL_S, only=wanted.id)
    assert claimed is not None
    assert claimed.id == wanted.id
    assert store.claim("one", TTL_S, only=wanted.id) is None


def test_a_claim_begins_an_attempt(store: Store) -> None:
    submitted = queue(store)
    job = start(store, "host-1")
    assert (job.state, job.owner, job.attempt, job.crashes) == (JobState.RUNNING, "host-1", 1, 0)
    assert job.revision == submitted.revision + 1
    assert job.started_at is not None
    assert job.lease_until is not None
    assert TTL_S - 5 < job.lease_until - job.started_at <= TTL_S + 1


def test_a_job_whose_lease_ran_out_is_taken_over(store: Store) -> None:
    queue(store)
    first = start(store, "one", ttl_s=LAPSED)
    second = start(store, "two")
    assert (second.id, second.owner, second.attempt, second.crashes) == (first.id, "two", 2, 1)
    assert second.started_at == first.started_at
    assert store.claim("three", TTL_S) is None


def test_a_job_that_crashed_too_often_fails_and_the_next_is_claimed(store: Store) -> None:
    bad = queue(store, max_crashes=2, priority=1)
    good = queue(store)
    lapse(store, 2)
    assert start(store).id == good.id
    failed = store.job(bad.id)
    assert (failed.state, failed.attempt, failed.crashes) == (JobState.FAILED, 2, 2)
    assert failed.error == "given up after 2 crashes of its driver or dispatcher."
    assert failed.finished_at is not None


@pytest.mark.parametrize(
    ("steer", "expected"),
    [(Store.cancel, JobState.CANCELLED), (Store.pause, JobState.PAUSED)],
)
def test_what_was_requested_of_a_dead_owner_is_settled_by_the_next_claim(
    store: Store, steer: Callable[[Store, str], object], expected: JobState
) -> None:
    queue(store)
    job = start(store, ttl_s=LAPSED)
    steer(store, job.id)
    assert store.claim("two", TTL_S) is None
    settled = store.job(job.id)
    assert (settled.state, settled.requested, settled.owner, settled.attempt) == (expected, None, None, 1)


def test_one_submitter_has_so_many_jobs_running(store: Store) -> None:
    for name in ("a1", "a2", "b1"):
        store.submit(new_job(name, submitted_by=name[0]))
    claimed = [store.claim("one", TTL_S, max_running=1) for _ in range(3)]
    assert [job and job.name for job in claimed] == ["a1", "b1", None]
    assert claimed[0] is not None
    store.finish(claimed[0].id, 1, JobState.COMPLETED)
    after = store.claim("one", TTL_S, max_running=1)
    assert after is not None
    assert after.name == "a2"


def test_renewing_prolongs_the_lease_and_tells_what_is_requested(store: Store) -> None:
    job = running(store)
    assert store.renew(job.id, 1, 3600) is None
    lease_until = store.job(job.id).lease_until
    assert lease_until is not None
    assert job.lease_until is not None
    assert lease_until > job.lease_until + 3000
    assert store.requested(job.id, 1) is None
    store.cancel(job.id)
    assert store.requested(job.id, 1) == store.renew(job.id, 1, TTL_S) == "cancel"


def test_an_owner_whose_lease_ran_out_unnoticed_goes_on(store: Store) -> None:
    queue(store)
    job = start(store, ttl_s=LAPSED)
    assert write(store, job, []) is None
    assert store.claim("two", TTL_S) is None


OWNERS_CALLS: list[Callable[[Store, str, int], object]] = [
    lambda store, job_id, attempt: store.renew(job_id, attempt, TTL_S),
    lambda store, job_id, attempt: store.requested(job_id, attempt),
    lambda store, job_id, attempt: store.write_records(job_id, attempt, [], TTL_S),
    lambda store, job_id, attempt: store.set_execution(job_id, attempt, {}),
    lambda store, job_id, attempt: store.set_probes(job_id, attempt, {}),
    lambda store, job_id, attempt: store.set_in_flight(job_id, attempt, InFlight(1, 0.5, 0.5)),
    lambda store, job_id, attempt: store.finish(job_id, attempt, JobState.COMPLETED),
    lambda store, job_id, attempt: store.release(job_id, attempt, crashed=True),
]


@pytest.mark.parametrize(
    "call", OWNERS_CALLS, ids=["renew", "requested", "write", "execution", "probes", "flight", "finish", "release"]
)
@pytest.mark.parametrize("end", ["taken over", "finished", "released"])
def test_a_former_owner_changes_nothing(store: Store, call: Callable[[Store, str, int], object], end: str) -> None:
    queue(store)
    job = start(store, ttl_s=LAPSED)
    if end == "taken over":
        start(store, "two")
    elif end == "finished":
        store.finish(job.id, 1, JobState.CANCELLED)
    else:
        store.release(job.id, 1, crashed=False, delay_s=3600)
    before = store.job(job.id)
    with pytest.raises(LostLeaseError, match="not run by attempt 1 any more"):
        call(store, job.id, 1)
    assert store.job(job.id) == before


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED])
def test_an_owner_ends_its_job(store: Store, state: JobState) -> None:
    job = running(store)
    ended = store.finish(job.id, 1, state, "why" if state is JobState.FAILED else None)
    assert (ended.state, ended.owner, ended.lease_until, ended.requested) == (state, None, None, None)
    assert (ended.finished_at is not None) == state.is_terminal
    assert ended.error == ("why" if state is JobState.FAILED else None)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.QUEUED])
def test_an_end_must_be_one(store: Store, state: JobState) -> None:
    job = running(store)
    with pytest.raises(InvalidValueError, match="state must be one of completed, failed, cancelled, paused"):
        store.finish(job.id, 1, state)


def test_a_released_job_is_claimed_again_without_a_crash(store: Store) -> None:
    job = running(store)
    released = store.release(job.id, 1, crashed=False)
    assert (released.state, released.crashes, released.owner) == (JobState.QUEUED, 0, None)
    assert start(store).attempt == 2


def test_a_release_with_a_delay_keeps_the_job_from_claims(store: Store) -> None:
    job = running(store)
    store.release(job.id, 1, crashed=True, delay_s=3600)
    assert store.claim("two", TTL_S) is None


def test_a_driver_that_dies_too_often_fails_its_job(store: Store) -> None:
    queue(store, max_crashes=2)
    job = start(store)
    assert store.release(job.id, 1, crashed=True, error="killed by signal 9").state is JobState.QUEUED
    start(store)
    failed = store.release(job.id, 2, crashed=True, error="killed by signal 9")
    assert (failed.state, failed.crashes) == (JobState.FAILED, 2)
    assert failed.error == "given up after 2 crashes of its driver or dispatcher; the last: killed by signal 9"


@pytest.mark.parametrize("crashed", [True, False])
@pytest.mark.parametrize(
    ("steer", "expected"),
    [(Store.cancel, JobState.CANCELLED), (Store.pause, JobState.PAUSED)],
)
def test_a_release_settles_what_was_requested(
    store: Store, steer: Callable[[Store, str], object], expected: JobState, crashed: bool
) -> None:
    job = running(store)
    steer(store, job.id)
    assert store.release(job.id, 1, crashed=crashed).state is expected


def test_execution_is_kept(store: Store) -> None:
    job = running(store)
    store.set_execution(job.id, 1, {"digits-mlp": {"sam": "fused"}})
    assert store.job(job.id).execution == {"digits-mlp": {"sam": "fused"}}
    assert store.job(job.id).revision > job.revision


def test_what_made_the_records_of_a_job_is_kept_of_its_last_attempt(store: Store) -> None:
    job = running(store)
    assert job.made_by is None
    store.set_execution(job.id, 1, {}, made_by={"torch": "2.13.0", "revision": "4be0c1d"})
    store.set_execution(job.id, 1, {})
    assert store.job(job.id).made_by == {"torch": "2.13.0", "revision": "4be0c1d"}
    store.set_execution(job.id, 1, {}, made_by={"torch": "2.14.0"})
    assert store.job(job.id).made_by == {"torch": "2.14.0"}


def test_the_lowest_running_job_makes_room_for_a_higher_one(store: Store) -> None:
    low, high = queue(store, priority=1), queue(store, priority=2)
    for owner in ("one", "two"):
        start(store, owner)
    assert store.preempt_candidate(60) is None
    queue(store, priority=2)
    asked = store.preempt_candidate(60)
    assert asked is not None
    assert (asked.id, asked.requested, asked.state) == (low.id, Request.PREEMPT, JobState.RUNNING)
    assert store.job(high.id).requested is None
    assert store.preempt_candidate(60) is None

    released = store.release(low.id, 1, crashed=False)
    assert (released.state, released.requested, released.crashes) == (JobState.QUEUED, None, 0)
    assert start(store).priority == 2
    assert start(store).id == low.id


def test_nobody_makes_room_while_a_dispatcher_is_idle(store: Store) -> None:
    low = running(store)
    queue(store, priority=10)
    store.report_dispatcher("one", "host", 1, "0.1", {}, low.id)
    store.report_dispatcher("two", "host", 2, "0.1", {})
    assert store.preempt_candidate(60) is None
    store.forget_dispatcher("two")
    asked = store.preempt_candidate(60)
    assert asked is not None
    assert asked.id == low.id


def test_nobody_makes_room_for_a_job_of_a_submitter_who_runs_enough(store: Store) -> None:
    store.submit(new_job(submitted_by="ann", priority=5))
    low, _ = store.submit(new_job(submitted_by="bob"))
    start(store)
    start(store)
    store.submit(new_job(submitted_by="ann", priority=5))
    assert store.preempt_candidate(60, max_running=1) is None, "it could not be claimed"
    asked = store.preempt_candidate(60, max_running=2)
    assert asked is not None
    assert asked.id == low.id


def test_a_submitter_who_runs_enough_makes_room_with_a_job_of_their_own(store: Store) -> None:
    bobs, _ = store.submit(new_job(submitted_by="bob", priority=-1))
    anns, _ = store.submit(new_job(submitted_by="ann"))
    start(store)
    start(store)
    urgent, _ = store.submit(new_job(submitted_by="ann", priority=5))
    asked = store.preempt_candidate(60, max_running=1)
    assert asked is not None
    assert asked.id == anns.id, "bob's is of lower priority, but would leave her at her limit"
    store.release(anns.id, 1, crashed=False)
    claimed = store.claim("two", TTL_S, max_running=1)
    assert claimed is not None
    assert claimed.id == urgent.id
    assert store.job(bobs.id).requested is None


def test_a_dispatcher_that_claims_nothing_is_no_help(store: Store) -> None:
    low = running(store)
    queue(store, priority=10)
    store.report_dispatcher("two", "host", 2, "0.1", {}, claims=False)
    asked = store.preempt_candidate(60)
    assert asked is not None
    assert asked.id == low.id


def test_an_owner_that_was_cut_off_takes_its_job_again_and_no_crash_is_counted(store: Store) -> None:
    job = queue(store, max_crashes=2)
    for attempt in (1, 2, 3, 4):
        again = start(store, "one", ttl_s=LAPSED)
        assert (again.id, again.attempt, again.crashes) == (job.id, attempt, 0)
    assert start(store, "two").crashes == 1


@pytest.mark.parametrize(("action", "state"), [("cancel", JobState.CANCELLED), ("pause", JobState.PAUSED)])
def test_what_nobody_runs_any_more_is_settled_at_once(store: Store, action: str, state: JobState) -> None:
    job = queue(store)
    start(store, ttl_s=LAPSED)
    assert getattr(store, action)(job.id).state is state
    with pytest.raises(LostLeaseError):
        store.renew(job.id, 1, TTL_S)


def test_an_error_that_no_database_keeps_is_kept_readable(store: Store) -> None:
    job = running(store)
    ended = store.finish(job.id, job.attempt, JobState.FAILED, error="a \0 and \ud800 in it")
    assert ended.error == "a \ufffd and \ufffd in it"


def test_the_rate_is_that_of_the_last_attempt(store: Store) -> None:
    job = running(store, n_cells=10)
    write(store, job, [make_record(cell) for cell in range(4)])
    store.release(job.id, job.attempt, crashed=False)
    before = store.progress(job.id)
    assert (before.n_before, before.n_linked) == (0, 4)
    again = start(store)
    resumed = store.progress(job.id)
    assert (resumed.n_before, resumed.first_record_at, resumed.last_record_at) == (4, None, None)
    write(store, again, [make_record(cell) for cell in range(4, 6)])
    assert store.progress(job.id).first_record_at is not None
    values = progress_values(
        store.job(job.id), replace(resumed, completed=7, first_record_at=100.0, last_record_at=104.0)
    )
    assert values["cells_per_s"] == pytest.approx(2 / 4)  # 3 of its own since, the first of them at the start
    assert values["eta_s"] == pytest.approx(3 / 0.5)


def test_cells_in_flight_count_for_the_time_that_is_left(store: Store) -> None:
    job = running(store, n_cells=10)
    revision = store.job(job.id).revision
    flight = InFlight.of([(9, 20), (1, 4), (0, 7)])
    store.set_in_flight(job.id, job.attempt, flight)
    assert store.job(job.id).revision == revision + 1
    progress = store.progress(job.id)
    assert progress.in_flight == flight == InFlight(3, 0.7, 0.45)
    values = progress_values(
        store.job(job.id), replace(progress, completed=3, first_record_at=100.0, last_record_at=104.0)
    )
    assert values["in_flight"] == {"cells": 3, "done": pytest.approx(0.7), "furthest": 0.45}
    assert values["eta_s"] == pytest.approx((7 - 0.7) / 0.5)
    store.set_in_flight(job.id, job.attempt, InFlight.of([]))
    assert store.progress(job.id).in_flight is None


@pytest.mark.parametrize("end", ["finished", "released", "taken over"])
def test_nothing_is_in_flight_of_a_job_that_nobody_runs(store: Store, end: str) -> None:
    queue(store)
    job = start(store, ttl_s=LAPSED)
    store.set_in_flight(job.id, job.attempt, InFlight(1, 0.5, 0.5))
    if end == "finished":
        store.finish(job.id, job.attempt, JobState.PAUSED)
    elif end == "released":
        store.release(job.id, job.attempt, crashed=True)
    else:
        start(store, "two")
    assert store.progress(job.id).in_flight is None


@pytest.mark.parametrize("values", [(0, 0.0, 0.0), (1, 0.2, 0.5), (1, 1.5, 0.5), (2, 1.5, 1.1), (1, float("nan"), 0.5)])
def test_cells_in_flight_are_as_far_as_they_can_be(values: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="furthest <= done <= cells must hold"):
        InFlight(*values)


def test_nobody_makes_room_for_an_equal_or_a_delayed_job(store: Store) -> None:
    high = queue(store, priority=5)
    start(store)
    store.release(high.id, 1, crashed=False, delay_s=3600)
    equal = queue(store, priority=0)
    queue(store, priority=0)
    assert start(store).id == equal.id
    assert store.preempt_candidate(60) is None


def test_a_preempted_job_is_still_cancelled_on_demand(store: Store) -> None:
    job = running(store)
    queue(store, priority=1)
    store.preempt_candidate(60)
    assert store.cancel(job.id).requested is Request.CANCEL
    assert write(store, job, [make_record(0)]) == "cancel"


@pytest.mark.parametrize("ttl_s", [-1.0, float("nan"), float("inf")])
def test_a_lease_has_a_length(store: Store, ttl_s: float) -> None:
    queue(store)
    with pytest.raises(InvalidValueError, match="ttl_s must be finite and not negative"):
        store.claim("one", ttl_s)
