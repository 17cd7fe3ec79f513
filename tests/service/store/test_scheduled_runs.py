"""A run of a schedule is started once, in one transaction, and knows what it is compared with."""

import pytest
from sqlalchemy import delete, update

from benchmark.regression import Verdict
from service.schedules.running import scheduled_job, start_due_runs
from service.states import JobState
from service.store import (
    BaselinePolicy,
    ConflictError,
    IdempotencyConflictError,
    InUseError,
    PolicyKind,
    RunState,
    ScheduledRun,
    Store,
    UnavailableError,
)
from service.store.choosing import REGRESSED, mean_measure
from service.store.regression_tables import baseline
from service.store.regression_tables import schedule as table
from service.store.tables import db_now, job
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import queue, start
from tests.service.store.scheduling import (
    DAY_S,
    add_alert,
    add_baseline,
    count_queued,
    count_runs,
    end_run,
    schedule,
    start_run,
    writing,
)
from tests.service.store.test_races import race
from tests.service.store.torn import TornDatabase

FUSED = {"banana": {"sam": "fused"}}


def start_due(store: Store) -> ScheduledRun:
    (due,) = store.due_schedules()
    run = store.start_due_run(due, scheduled_job(due))
    assert run is not None
    return run


def test_a_run_that_is_due_queues_a_job_of_its_own(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    made = schedule(store)
    assert made.next_due_at is not None
    clock.turn(made.next_due_at - clock.now - 1)
    assert store.due_schedules() == []
    clock.turn(2)
    run = start_due(store)
    assert (run.due_at, run.n_missed, run.is_manual, run.state) == (made.next_due_at, 0, False, RunState.TRAINING)
    assert (run.schedule_id, run.baseline_job_id, run.verdict) == (made.id, None, None)
    assert run.job_id
    job = store.job(run.job_id)
    assert (job.state, job.tags, job.submitted_by) == (JobState.QUEUED, ("schedule:nightly",), "local")
    assert (job.spec["name"], job.n_cells) == ("descents", 2)
    assert store.schedule("nightly").next_due_at == made.next_due_at + DAY_S
    assert store.scheduled_runs("nightly") == [run]
    assert store.scheduled_run("nightly", run.id) == run
    assert store.due_schedules() == []


def test_times_that_were_missed_are_one_run(clock_and_store: tuple[TurnedClock, Store], own_database_url: str) -> None:
    clock, store = clock_and_store
    made = schedule(store)
    assert made.next_due_at is not None
    clock.turn(made.next_due_at + 5 * DAY_S + 60 - clock.now)
    run = start_due(store)
    assert (run.due_at, run.n_missed) == (made.next_due_at, 5)
    assert store.schedule("nightly").next_due_at == made.next_due_at + 6 * DAY_S
    end_run(own_database_url, run)
    assert store.due_schedules() == []


def test_a_time_that_is_due_while_a_run_is_under_way_waits_for_its_end(
    clock_and_store: tuple[TurnedClock, Store], own_database_url: str
) -> None:
    clock, store = clock_and_store
    schedule(store)
    clock.turn(DAY_S)
    first = start_due(store)
    seen = store.schedule("nightly")
    clock.turn(2 * DAY_S)
    assert store.due_schedules() == []
    assert store.start_due_run(seen, scheduled_job(seen)) is None
    end_run(own_database_url, first)
    second = start_due(store)
    assert (second.due_at, second.n_missed) == (first.due_at + DAY_S, 1)


def test_a_schedule_that_was_changed_meanwhile_is_not_started_as_it_was(
    clock_and_store: tuple[TurnedClock, Store], own_database_url: str
) -> None:
    clock, store = clock_and_store
    schedule(store)
    clock.turn(DAY_S)
    (due,) = store.due_schedules()
    store.change_schedule("nightly", {"n_cells": 3})
    assert store.start_due_run(due, scheduled_job(due)) is None
    (due,) = store.due_schedules()
    store.pause_schedule("nightly")
    assert store.start_due_run(due, scheduled_job(due)) is None
    assert count_runs(own_database_url) == 0
    assert count_queued(store) == 0


def test_a_clock_that_goes_back_repeats_no_run(
    clock_and_store: tuple[TurnedClock, Store], own_database_url: str
) -> None:
    clock, store = clock_and_store
    schedule(store)
    clock.turn(DAY_S)
    run = start_due(store)
    end_run(own_database_url, run)
    clock.turn(-DAY_S)
    store.resume_schedule(store.pause_schedule("nightly").id)
    assert store.schedule("nightly").next_due_at == run.due_at
    clock.turn(DAY_S)
    (due,) = store.due_schedules()
    assert store.start_due_run(due, scheduled_job(due)) is None
    assert store.schedule("nightly").next_due_at == run.due_at + DAY_S
    assert store.scheduled_runs("nightly") == [store.scheduled_run("nightly", run.id)]


def test_a_run_whose_spec_cannot_be_run_any_more_fails_with_the_reason(
    clock_and_store: tuple[TurnedClock, Store],
) -> None:
    clock, store = clock_and_store
    schedule(store)
    clock.turn(DAY_S)
    (due,) = store.due_schedules()
    run = store.start_due_run(due, None, problem="the plug-in is gone")
    assert run
    assert (run.state, run.job_id, run.reason) == (RunState.FAILED, None, "the plug-in is gone")
    assert run.judged_at == pytest.approx(clock.now, abs=1e-3)
    assert store.due_schedules() == []


def test_a_run_its_job_and_the_next_time_are_written_together_or_not_at_all(database_url: str) -> None:
    database = TornDatabase(database_url)
    with Store(database) as store:
        schedule(store)
        database.torn = True
        with pytest.raises(UnavailableError, match="torn"):
            start_run(store)
        database.torn = False
        assert count_queued(store) == 0
        assert count_runs(database_url) == 0
        start_run(store)
        assert count_queued(store) == count_runs(database_url) == 1


def test_a_run_by_hand_leaves_the_times_alone_and_waits_for_none(store: Store, database_url: str) -> None:
    made = schedule(store)
    run = start_run(store)
    assert (run.is_manual, run.n_missed) == (True, 0)
    assert run.due_at == pytest.approx(run.created_at, abs=1.0)
    assert store.schedule("nightly") == made
    with pytest.raises(ConflictError, match=f"run {run.id} of nightly has not ended"):
        start_run(store)
    end_run(database_url, run)
    store.pause_schedule("nightly")
    assert start_run(store).is_manual


def test_an_idempotency_key_gives_the_run_of_the_first_call(store: Store, database_url: str) -> None:
    made, other = schedule(store), schedule(store, "weekly")
    new = scheduled_job(made)
    first, is_new = store.start_run("nightly", new, idempotency_key="k")
    assert is_new
    assert store.start_run(made.id, new, idempotency_key="k") == (first, False)
    end_run(database_url, first)
    again, is_new = store.start_run("nightly", new, idempotency_key="k")
    assert (again.id, again.state, is_new) == (first.id, RunState.JUDGED, False)
    with pytest.raises(IdempotencyConflictError, match="'k' was used before"):
        store.start_run(other.id, new, idempotency_key="k")
    store.delete_schedule("nightly")
    assert store.start_run(other.id, new, idempotency_key="k")[1], "the key went with the schedule"


@pytest.mark.slow
def test_schedulers_that_race_start_each_run_once(database_url: str) -> None:
    n_schedules, n_rounds = 5, 4
    with Store.open(database_url) as store:
        for number in range(n_schedules):
            schedule(store, f"s{number}")
        for number in range(1, n_rounds + 1):
            make_due(database_url)
            race(database_url, lambda store, _: start_due_runs(store))
            assert count_runs(database_url) == n_schedules * number
            assert count_queued(store) == n_schedules
            assert store.due_schedules() == []
            for one in store.schedules():
                assert len(store.scheduled_runs(one.id)) == number
                end_run(database_url, store.scheduled_runs(one.id)[0])


@pytest.mark.slow
def test_many_who_ask_at_once_get_one_run(database_url: str) -> None:
    with Store.open(database_url) as store:
        schedule(store)

    def ask(store: Store, _: int) -> str | None:
        try:
            return start_run(store).id
        except ConflictError:
            return None

    assert len([run for run in race(database_url, ask) if run]) == 1
    assert count_runs(database_url) == 1


@pytest.mark.slow
def test_a_run_that_is_due_and_one_that_is_asked_for_at_once_are_one_run(database_url: str) -> None:
    with Store.open(database_url) as store:
        schedule(store)

    def start(store: Store, number: int) -> object:
        if number % 2:
            return start_due_runs(store)
        try:
            return start_run(store)
        except ConflictError:
            return None

    for number in range(1, 9):
        make_due(database_url)
        race(database_url, start)
        assert count_runs(database_url) == number
        with Store.open(database_url) as store:
            end_run(database_url, store.scheduled_runs("nightly")[0])


class Compared:
    """Runs of a schedule with a policy, one after another."""

    def __init__(self, store: Store, url: str, policy: BaselinePolicy) -> None:
        self.store, self.url = store, url
        schedule(store, policy=policy)

    def run(
        self, verdict: str | None = "same", *, state: RunState = RunState.JUDGED, grid_mean: float = 0.5
    ) -> ScheduledRun:
        """Start a run and let it end."""
        run = start_run(self.store)
        measures = {"banana": {"sam": {"grid_mean": grid_mean, "best": None}}}
        end_run(self.url, run, state=state, verdict=verdict, measures=measures, execution=FUSED)
        return run


def best_of(n: int) -> BaselinePolicy:
    return BaselinePolicy(kind=PolicyKind.BEST_OF, n=n)


def test_a_named_baseline_is_its_job_of_now_with_its_execution(store: Store, database_url: str) -> None:
    first, second = queue(store, "first"), queue(store, "second")
    start(store)
    store.set_execution(first.id, 1, FUSED)
    add_baseline(database_url, "main", first)
    schedule(store, policy=BaselinePolicy(kind=PolicyKind.NAMED, name="main"))
    run = start_run(store)
    assert (run.baseline_name, run.baseline_job_id) == ("main", first.id)
    assert run.job_id
    assert store.job(run.job_id).execution == FUSED
    end_run(database_url, run)
    remove_baseline(database_url)
    gone = start_run(store)
    assert (gone.baseline_name, gone.baseline_job_id) == ("main", None)
    end_run(database_url, gone)
    add_baseline(database_url, "main", second)
    assert start_run(store).baseline_job_id == second.id


def test_the_previous_run_is_the_newest_that_succeeded(store: Store, database_url: str) -> None:
    runs = Compared(store, database_url, BaselinePolicy(kind=PolicyKind.PREVIOUS))
    first = runs.run(None)
    assert first.baseline_job_id is None
    second = runs.run("undecided")
    assert second.baseline_job_id == first.job_id
    failed = runs.run(None, state=RunState.FAILED)
    assert failed.baseline_job_id == second.job_id
    regressed = runs.run("regressed")
    assert regressed.baseline_job_id == second.job_id
    after = runs.run("improved")
    assert after.baseline_job_id == second.job_id
    assert after.job_id
    assert store.job(after.job_id).execution == FUSED
    assert runs.run().baseline_job_id == after.job_id


def test_a_regression_that_is_known_is_the_new_level(store: Store, database_url: str) -> None:
    runs = Compared(store, database_url, BaselinePolicy(kind=PolicyKind.PREVIOUS))
    first, second = runs.run(), runs.run("regressed")
    add_alert(database_url, second, second, acknowledged=True)
    third = runs.run("regressed")
    assert third.baseline_job_id == second.job_id
    add_alert(database_url, second, third, acknowledged=False, optimizer="msam")
    assert runs.run().baseline_job_id == first.job_id, "one of its alerts nobody knows of"


def test_the_best_of_the_newest_successes_is_by_its_grid_mean(store: Store, database_url: str) -> None:
    runs = Compared(store, database_url, best_of(3))
    best, *_ = [runs.run(grid_mean=value) for value in (0.9, 0.5, 0.7)]
    assert runs.run("regressed", grid_mean=0.99).baseline_job_id == best.job_id
    latest = runs.run(grid_mean=0.7)
    assert latest.baseline_job_id == best.job_id
    assert runs.run().baseline_job_id == latest.job_id, "the best has grown too old, and of equals the newest counts"


def test_a_run_whose_job_was_deleted_is_compared_with_by_nobody(store: Store, database_url: str) -> None:
    runs = Compared(store, database_url, best_of(2))
    first, second = runs.run(), runs.run(grid_mean=0.9)
    remove_job(database_url, second)
    assert store.scheduled_run("nightly", second.id).job_id is None
    assert runs.run().baseline_job_id == first.job_id


def test_the_mean_is_over_all_rows_that_have_a_value() -> None:
    rows = {"a": {"sam": {"grid_mean": 0.2}, "gd": {"grid_mean": 0.4}}, "b": {"sam": {"grid_mean": None}, "gd": {}}}
    assert mean_measure(rows) == pytest.approx(0.3)
    assert mean_measure({}) == mean_measure(None) == mean_measure({"a": {"sam": {}}}) == float("-inf")


def test_the_verdict_has_the_word_of_the_benchmark() -> None:
    assert Verdict.REGRESSED == REGRESSED


def make_due(url: str) -> None:
    with writing(url) as connection:
        connection.execute(update(table).values(next_due_at=db_now() - 1))


def remove_baseline(url: str) -> None:
    with writing(url) as connection:
        connection.execute(delete(baseline))


def remove_job(url: str, run: ScheduledRun) -> None:
    with writing(url) as connection:
        connection.execute(delete(job).where(job.c.id == run.job_id))


def deletable(store: Store) -> set[str]:
    """Jobs that pruning would delete, which deletes those and no other."""
    return {job.id for job in store.prunable(0.0).jobs}


@pytest.mark.parametrize(
    ("policy", "n_kept"),
    [(BaselinePolicy(kind=PolicyKind.PREVIOUS), 1), (best_of(2), 2)],
    ids=["previous", "best of 2"],
)
def test_a_job_that_a_policy_may_still_choose_is_neither_pruned_nor_deleted(
    store: Store, database_url: str, policy: BaselinePolicy, n_kept: int
) -> None:
    runs = Compared(store, database_url, policy)
    done = [runs.run().job_id or "" for _ in range(4)]
    regressed = runs.run("regressed").job_id or ""
    assert deletable(store) == {*done[:-n_kept], regressed}
    before = store.prunable(0.0).before
    for job_id in done[-n_kept:]:
        with pytest.raises(
            InUseError, match=f"cannot delete job {job_id} while a run of the schedule nightly is or may"
        ):
            store.delete(job_id)
        with pytest.raises(InUseError, match="cannot extend job"):
            store.extend(job_id, {}, 3)
        assert not store.prune_job(job_id, before)
    store.delete(done[0])
    assert store.prune_job(regressed, before)
    assert [run.job_id for run in reversed(store.scheduled_runs("nightly"))] == [None, *done[1:], None]
    store.delete_schedule("nightly")
    store.delete(done[-1])
    assert deletable(store) == set(done[1:-1])


def test_both_jobs_of_a_run_that_is_not_judged_yet_stay(store: Store, database_url: str) -> None:
    runs = Compared(store, database_url, BaselinePolicy(kind=PolicyKind.PREVIOUS))
    first = runs.run()
    second = start_run(store)
    assert second.baseline_job_id == first.job_id
    assert second.job_id
    store.cancel(second.job_id)
    assert deletable(store) == set()
    with pytest.raises(InUseError, match="the schedule nightly"):
        store.delete(second.job_id)
    end_run(database_url, second, state=RunState.FAILED)
    assert deletable(store) == {second.job_id}
