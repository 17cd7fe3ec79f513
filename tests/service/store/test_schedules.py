"""Schedules are kept, changed, paused and deleted, and only what can be is kept."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.schedules.cron import Cron, ScheduleError
from service.store import (
    BaselinePolicy,
    ConflictError,
    IdempotencyConflictError,
    InvalidValueError,
    NewWebhook,
    NotFoundError,
    PolicyKind,
    Store,
    Thresholds,
)
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import queue
from tests.service.store.scheduling import (
    DAY_S,
    PREVIOUS,
    add_baseline,
    count_runs,
    end_run,
    new_schedule,
    schedule,
    start_run,
)
from tests.service.store.test_races import race


def named(name: str) -> BaselinePolicy:
    return BaselinePolicy(kind=PolicyKind.NAMED, name=name)


def due_after(now: float, cron: str, timezone: str = "UTC") -> float:
    return Cron(cron, timezone).next_due(datetime.fromtimestamp(now, UTC)).timestamp()


def test_a_schedule_is_found_by_id_and_name_and_is_due_by_the_databases_clock(
    clock_and_store: tuple[TurnedClock, Store],
) -> None:
    clock, store = clock_and_store
    made = schedule(store, timezone="Europe/Berlin", thresholds=Thresholds(factor=2.5, measures=("best", "worst")))
    assert store.schedule(made.id) == store.schedule("nightly") == made
    assert made.next_due_at == due_after(clock.now, "0 3 * * *", "Europe/Berlin")
    assert (made.policy, made.thresholds.measures, made.webhooks) == (PREVIOUS, ("best", "worst"), None)
    assert made.created_at == pytest.approx(clock.now, abs=1e-3)


def test_schedules_are_listed_a_page_at_a_time(store: Store) -> None:
    made = [schedule(store, name) for name in ("c", "a", "b")]
    assert store.schedules() == made
    assert store.schedules(limit=2) == made[:2]
    assert store.schedules(after=made[1].seq) == made[2:]


def test_a_name_is_given_once_and_never_stands_for_an_id(store: Store) -> None:
    first = schedule(store)
    with pytest.raises(ConflictError, match="there is a schedule 'nightly'"):
        schedule(store)
    schedule(store, first.id)
    assert store.schedule(first.id) == first
    assert store.schedules()[1].name == first.id


def test_an_idempotency_key_gives_the_schedule_of_the_first_call(store: Store) -> None:
    first, created = store.create_schedule(new_schedule(), principal="ci", idempotency_key="k")
    assert created
    assert store.create_schedule(new_schedule(), principal="ci", idempotency_key="k") == (first, False)
    with pytest.raises(IdempotencyConflictError, match="'k' was used before with another body"):
        store.create_schedule(new_schedule(cron="@daily"), principal="ci", idempotency_key="k")
    store.delete_schedule(first.id)
    assert store.create_schedule(new_schedule(), principal="ci", idempotency_key="k")[1], "the key went with it"


def test_a_change_keeps_the_rest_and_sets_the_next_time_anew(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    made = schedule(store)
    assert store.change_schedule(made.id, {}) == made
    later = store.change_schedule("nightly", {"cron": "30 4 * * *"})
    assert later.next_due_at == due_after(clock.now, "30 4 * * *")
    assert (later.revision, later.spec, later.policy) == (made.revision + 1, made.spec, made.policy)
    zoned = store.change_schedule("nightly", {"timezone": "Asia/Kathmandu"})
    assert zoned.next_due_at == due_after(clock.now, "30 4 * * *", "Asia/Kathmandu")
    clock.turn(DAY_S * 3)
    same = store.change_schedule("nightly", {"thresholds": Thresholds(factor=2.0)})
    assert same.next_due_at == zoned.next_due_at, "what was due before the change is due after it"
    with pytest.raises(InvalidValueError, match="name of a schedule cannot be changed"):
        store.change_schedule("nightly", {"name": "x"})


def test_nothing_is_due_while_a_schedule_is_paused_nor_made_up_for(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    schedule(store)
    paused = store.pause_schedule("nightly")
    assert paused.is_paused
    assert store.pause_schedule("nightly") == paused
    assert store.change_schedule("nightly", {"cron": "0 5 * * *"}).is_paused
    clock.turn(DAY_S * 10)
    assert store.due_schedules() == []
    resumed = store.resume_schedule("nightly")
    assert resumed.next_due_at == due_after(clock.now, "0 5 * * *")
    assert store.resume_schedule("nightly") == resumed
    assert store.due_schedules() == []


def test_deleting_takes_the_history_and_leaves_the_jobs(store: Store, database_url: str) -> None:
    schedule(store)
    run = start_run(store)
    store.delete_schedule("nightly")
    assert count_runs(database_url) == 0
    assert run.job_id
    assert store.job(run.job_id).tags == ("schedule:nightly",)
    calls: list[Callable[[str], object]] = [
        store.schedule,
        store.pause_schedule,
        store.resume_schedule,
        store.delete_schedule,
        store.scheduled_runs,
        lambda name: store.change_schedule(name, {}),
        lambda name: store.scheduled_run(name, run.id),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="there is no schedule 'nightly'"):
            call("nightly")


def test_a_run_is_found_within_its_schedule_alone(store: Store, database_url: str) -> None:
    schedule(store), schedule(store, "weekly")
    runs = []
    for _ in range(3):
        runs.append(start_run(store))
        end_run(database_url, runs[-1])
    assert store.scheduled_run("nightly", runs[0].id).id == runs[0].id
    assert [run.id for run in store.scheduled_runs("nightly")] == [run.id for run in reversed(runs)]
    newest = store.scheduled_runs("nightly", limit=1)
    assert [run.id for run in store.scheduled_runs("nightly", before=newest[0].seq)] == [runs[1].id, runs[0].id]
    assert store.scheduled_runs("weekly") == []
    for name, run_id in (("weekly", runs[0].id), ("nightly", "0"), ("nightly", "x" * 300)):
        with pytest.raises(NotFoundError, match="there is no run"):
            store.scheduled_run(name, run_id)


def test_what_a_schedule_names_must_be_there(store: Store, database_url: str) -> None:
    webhook = store.create_webhook(NewWebhook(url="https://a.example", secret="s", events=()))[0]  # noqa: S106  (a test's)
    with pytest.raises(InvalidValueError, match="there is no baseline 'main'"):
        schedule(store, policy=named("main"))
    with pytest.raises(InvalidValueError, match="there is no webhook 'nobody'"):
        schedule(store, webhooks=(webhook.id, "nobody"))
    add_baseline(database_url, "main", queue(store))
    made = schedule(store, policy=named("main"), webhooks=(webhook.id,))
    assert (made.policy.name, made.webhooks) == ("main", (webhook.id,))
    with pytest.raises(InvalidValueError, match="there is no baseline 'other'"):
        store.change_schedule("nightly", {"policy": named("other")})
    assert store.change_schedule("nightly", {"webhooks": None}).webhooks is None


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"cron": "0 3 * *"}, ScheduleError, "has five fields"),
        ({"timezone": "Mars/Olympus"}, ScheduleError, "IANA name"),
        ({"name": "two words"}, InvalidValueError, "the name of a schedule"),
        ({"name": ""}, InvalidValueError, "the name of a schedule"),
        ({"name": "x" * 101}, InvalidValueError, "the name of a schedule"),
        ({"spec": {"lr": float("nan")}}, InvalidValueError, "spec must be plain values"),
        ({"n_cells": 0}, InvalidValueError, "1 <= n_cells"),
        ({"webhooks": ("\0",)}, InvalidValueError, "NUL"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    store: Store, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        store.create_schedule(new_schedule(**{"name": "nightly", **changes}))
    assert store.schedules() == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": PolicyKind.NAMED}, "the policy named takes name and nothing else, but got neither"),
        ({"kind": PolicyKind.NAMED, "name": "a", "n": 3}, "but got name, n"),
        ({"kind": PolicyKind.PREVIOUS, "n": 3}, "takes neither name nor n, but got n"),
        ({"kind": PolicyKind.BEST_OF, "name": "a"}, "takes n and nothing else"),
        ({"kind": PolicyKind.BEST_OF, "n": 0}, "1 <= n <= 100"),
        ({"kind": PolicyKind.BEST_OF, "n": 101}, "1 <= n <= 100"),
    ],
)
def test_a_policy_takes_what_it_needs_and_nothing_else(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        BaselinePolicy(**values)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_is_a_positive_number(factor: float) -> None:
    with pytest.raises(InvalidValueError, match="the factor must be positive and finite"):
        Thresholds(factor=factor)
    with pytest.raises(InvalidValueError, match="at least one measure"):
        Thresholds(measures=())


@pytest.mark.slow
def test_of_many_who_take_a_name_at_once_one_gets_it(database_url: str) -> None:
    def make(store: Store, _: int) -> str:
        try:
            return schedule(store).id
        except ConflictError as error:
            return str(error)

    answers = race(database_url, make)
    refused = [answer for answer in answers if str(answer).startswith("there is a schedule 'nightly'")]
    assert len(refused) == len(answers) - 1
