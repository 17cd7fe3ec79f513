"""Replays of a baseline are queued, told when they have ended, and set its limits once all have."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmark import ComparisonError, Outcome, Spec
from benchmark.regression import limits_of, worst_change
from benchmark.spec import Cell, expand
from service.calibrating import settle_calibrations
from service.comparing import compared_jobs, set_baseline, side_of
from service.results import job_results
from service.states import JobState
from service.store import (
    Baseline,
    IdempotencyConflictError,
    InvalidValueError,
    Job,
    NotFoundError,
    QueueFullError,
    Replay,
    Store,
)
from service.store.calibrating import DueReplay
from tests.service.filling import LEASE_S, completed, failed, records_of, run_made_up, small_spec, submit, timed_out

RATE = 0.34  # needs two replays
SPEC = small_spec(tags=["nightly"], priority=5)


def lowered(by: float) -> Callable[[Cell], Outcome]:
    """Return outcomes whose scores are lower, a little more or less with the seed."""

    def outcome(cell: Cell) -> Outcome:
        usual = completed(cell)
        change = by * (1 + 0.01 * cell.seed)
        metrics = {name: value - change if "accuracy" in name else value for name, value in usual.metrics.items()}
        return replace(usual, metrics=metrics)

    return outcome


@pytest.fixture
def named(store: Store) -> Baseline:
    """The baseline `main`: a job with scores of its own."""
    return set_baseline(store, "main", run_made_up(store, submit(store, SPEC)).id)[0]


def replays(store: Store) -> list[Replay]:
    baseline = store.baseline("main")
    return store.replays([baseline.id])[baseline.id]


def job_of(store: Store, number: int) -> Job:
    (job_id,) = [one.job_id for one in replays(store) if one.number == number]
    assert job_id is not None
    return store.job(job_id)


def end(
    store: Store,
    number: int,
    outcome_of: Callable[[Cell], Outcome] = completed,
    state: JobState = JobState.COMPLETED,
) -> Job:
    return run_made_up(store, job_of(store, number), outcome_of, state=state)


def settle(store: Store) -> None:
    """Settle all there is; then there is nothing more to do."""
    while settle_calibrations(store):
        pass


def test_replays_train_what_the_baseline_did_when_there_is_nothing_else_to_do(store: Store, named: Baseline) -> None:
    asked = store.calibrate("main", RATE, principal="me")
    assert (asked.alarm_rate, asked.limits, asked.revision) == (RATE, None, named.revision + 1)
    original = store.job(named.job_id)
    jobs = [job_of(store, number) for number in (1, 2)]
    assert len(replays(store)) == 2
    assert [job.replay for job in jobs] == [1, 2]
    assert [job.name for job in jobs] == ["small replay 1", "small replay 2"]
    for job in jobs:
        assert job.spec == {**original.spec, "reuse": False}
        assert (job.execution, job.n_cells, job.submitted_by) == (original.execution, original.n_cells, "me")
        assert (job.tags, job.priority, job.state) == (("nightly", "replay"), -5, JobState.QUEUED)


def test_replays_that_are_there_count(store: Store, named: Baseline) -> None:
    store.calibrate("main", RATE)
    first = [one.job_id for one in replays(store)]
    assert store.calibrate("main", RATE).revision == named.revision + 1
    assert [one.job_id for one in replays(store)] == first
    end(store, 2)
    settle(store)
    store.calibrate("main", RATE, 4)
    assert [one.job_id for one in replays(store)][:2] == first
    assert [one.number for one in replays(store)] == [1, 2, 3, 4]
    store.calibrate("main", 0.5)
    assert [one.number for one in replays(store)] == [1, 2]  # what has told something is not forgotten


def test_a_rate_that_the_replays_cannot_hold_is_refused(store: Store, named: Baseline) -> None:
    with pytest.raises(ComparisonError, match=r"a false-alarm rate of 0.05 a run needs at least 19 replays"):
        store.calibrate("main", 0.05, 18)
    with pytest.raises(ComparisonError, match=r"1e-06 <= alarm rate < 1 must hold"):
        store.calibrate("main", 1.0)
    with pytest.raises(InvalidValueError, match=r"1 <= n_replays <= 999 must hold, but got n_replays=9999"):
        store.calibrate("main", 0.0001)
    with pytest.raises(NotFoundError, match=r"there is no baseline 'other'"):
        store.calibrate("other", RATE)
    assert replays(store) == []
    assert store.baseline("main") == named


def test_limits_are_set_once_all_replays_have_told_how_far_they_got(store: Store, named: Baseline) -> None:
    store.calibrate("main", RATE)
    assert not settle_calibrations(store)
    end(store, 1, lowered(0.02))
    settle(store)
    assert [one.statistic is not None for one in replays(store)] == [True, False]
    assert store.baseline("main").limits is None
    end(store, 2, lowered(0.04))
    settle(store)
    original = side_of(job_results(store, named.job_id))
    statistics = [
        worst_change(original, side_of(job_results(store, job_of(store, number).id)), y_ref=named.y_ref)
        for number in (1, 2)
    ]
    assert [one.statistic for one in replays(store)] == statistics
    limits = limits_of(statistics, RATE)
    assert limits.factor > 1
    assert store.baseline("main").limits == limits.to_dict()
    comparison = compared_jobs(
        store, store.baseline("main"), run_made_up(store, submit(store), lowered(0.03)).id
    ).comparison
    assert comparison.is_calibrated
    assert "same" in {str(one.verdict) for one in comparison.measures}
    assert str(comparison.verdict) != "regressed"


def test_another_rate_sets_other_limits_of_the_same_replays(store: Store, named: Baseline) -> None:
    store.calibrate("main", RATE)
    for number, by in ((1, 0.02), (2, 0.04)):
        end(store, number, lowered(by))
    settle(store)
    before = store.baseline("main").limits
    store.calibrate("main", 0.7)
    assert store.baseline("main").limits == before  # until there are others
    settle(store)
    after = store.baseline("main").limits
    assert before is not None
    assert after is not None
    assert (before["rank"], after["rank"]) == (1, 2)
    assert after["factor"] < before["factor"]


def test_a_replay_that_failed_is_told_and_may_be_retried(store: Store, named: Baseline) -> None:
    store.calibrate("main", RATE)
    end(store, 1)
    end(store, 2, failed, state=JobState.FAILED)
    settle(store)
    assert [one.problem for one in replays(store)] == [None, "its job is failed; retry it"]
    assert store.baseline("main").limits is None
    store.retry(job_of(store, 2).id)
    assert replays(store)[1].problem is None
    end(store, 2)
    settle(store)
    assert store.baseline("main").limits is not None


def test_a_replay_that_lacks_cells_waits_for_them(store: Store, named: Baseline) -> None:
    store.calibrate("main", 0.5)
    end(store, 1, timed_out)
    settle(store)
    assert "every cell of a replay must have a result" in str(replays(store)[0].problem)
    assert not settle_calibrations(store)  # it is not looked at again and again
    store.retry(job_of(store, 1).id)
    assert replays(store)[0].problem is None
    end(store, 1)
    settle(store)
    assert store.baseline("main").limits is not None


@pytest.mark.parametrize("n_same", [0, 3, 9], ids=["all of it", "after an upgrade", "its end"])
def test_a_replay_by_other_code_tells_nothing_of_rounding(store: Store, named: Baseline, n_same: int) -> None:
    """Else limits would forgive what somebody changed since the baseline was trained."""
    store.calibrate("main", 0.5)
    job = job_of(store, 1)
    claimed = store.claim("a-dispatcher", LEASE_S, only=job.id)
    assert claimed is not None
    other = "f" * 32
    settings = {cell.setting.key: cell.setting.to_dict() for cell in expand(Spec.from_mapping(job.spec))}
    store.register(settings, {other: {"torch": "2.14.0", "replay": "1"}})
    every = records_of(job)
    assert len(every) > n_same
    placed = [replace(one, record=replace(one.record, fingerprint=other)) for one in every[n_same:]]
    store.write_records(job.id, claimed.attempt, every[:n_same], LEASE_S)
    store.write_records(job.id, claimed.attempt, placed, LEASE_S)
    store.finish(job.id, claimed.attempt, JobState.COMPLETED)
    settle(store)
    assert str(replays(store)[0].problem).startswith("it was not made as the baseline was: torch differs")
    assert store.baseline("main").limits is None


def test_a_fault_in_one_replay_keeps_no_other_from_its_turn(
    store: Store, named: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def told(*pair: object, **_: object) -> float:
        calls.append(pair)
        if len(calls) == 1:
            raise ZeroDivisionError("no luck")
        return 0.5

    store.calibrate("main", RATE)
    for number in (1, 2):
        end(store, number)
    monkeypatch.setattr("service.calibrating.worst_change", told)
    with pytest.raises(ZeroDivisionError, match="no luck"):
        settle_calibrations(store)
    assert [one.statistic for one in replays(store)] == [None, 0.5]


def test_a_replay_whose_job_was_deleted_is_made_again(store: Store, named: Baseline) -> None:
    store.calibrate("main", RATE)
    end(store, 1)
    settle(store)
    known = replays(store)[0].statistic
    for number in (1, 2):
        deleted = job_of(store, number)
        if deleted.state is JobState.QUEUED:
            store.cancel(deleted.id)
        store.delete(deleted.id)
    assert [one.problem for one in replays(store)] == [None, "its job was deleted; calibrate again"]
    store.calibrate("main", RATE)
    assert replays(store)[0].statistic == known
    end(store, 2)
    settle(store)
    assert store.baseline("main").limits is not None


def test_nothing_is_kept_of_replays_of_a_job_that_the_baseline_no_longer_names(store: Store, named: Baseline) -> None:
    store.calibrate("main", 0.5)
    end(store, 1)
    (due,) = store.due_replays()
    limits = limits_of([0.0], 0.5)
    set_baseline(store, "main", run_made_up(store, submit(store, SPEC)).id)
    assert not store.settle_replay(due, statistic=1.0)
    assert not store.set_limits(named, limits)
    assert replays(store) == []
    store.delete_baseline("main")
    assert not store.settle_replay(due, statistic=1.0)
    assert not store.set_limits(named, limits)
    assert not settle_calibrations(store)


def test_nothing_is_kept_of_what_has_changed_since_it_was_read(store: Store, named: Baseline) -> None:
    store.calibrate("main", 0.5)
    end(store, 1)
    (due,) = store.due_replays()
    assert not store.settle_replay(DueReplay(due.baseline, 1, due.job_id, due.job_revision - 1), statistic=1.0)
    assert store.settle_replay(due, statistic=1.0)
    ((read, statistics),) = store.uncalibrated()
    assert statistics == (1.0,)
    store.calibrate("main", RATE)  # asks for one replay more
    assert not store.set_limits(read, limits_of(statistics, 0.5))
    assert store.baseline("main").limits is None


def test_a_repeated_call_under_a_key_does_nothing_more(store: Store, named: Baseline) -> None:
    store.calibrate("main", 0.5, idempotency_key="k")
    job = job_of(store, 1)
    store.cancel(job.id)
    store.delete(job.id)
    store.calibrate("main", 0.5, idempotency_key="k")
    assert [one.job_id for one in replays(store)] == [None]
    with pytest.raises(IdempotencyConflictError, match="was used before with another body"):
        store.calibrate("main", RATE, idempotency_key="k")


def test_replays_that_are_more_than_one_may_have_queued_are_not_queued(store: Store, named: Baseline) -> None:
    submit(store, submitted_by="me")
    with pytest.raises(QueueFullError, match=r"me may have at most 2 queued jobs, and has 1"):
        store.calibrate("main", RATE, principal="me", max_queued=2)
    assert replays(store) == []
    assert store.baseline("main").alarm_rate is None
    store.calibrate("main", RATE, principal="me", max_queued=3)
    assert len(replays(store)) == 2
