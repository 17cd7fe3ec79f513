"""The loop: a simulated year, what goes wrong, and a stop in order."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from service.schedules.running import running_schedules, scheduled_job, start_due_runs
from service.store import RunState, Schedule, ScheduledRun, Store, UnavailableError
from service.store.database import Database
from tests.service.store.clocks import TurnedClock, turned_clock
from tests.service.store.scheduling import DAY_S, count_queued, count_runs, end_run, schedule

DEADLINE_S = 30.0
POLL_S = 0.02


@pytest.fixture
def backend() -> str:
    """What the store does on both databases is tested beside the store."""
    return "sqlite"


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.02)


def at(clock: TurnedClock, text: str, zone: str) -> None:
    """Turn a clock to a local time."""
    clock.turn(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() - clock.now)


def tick(store: Store, database: Database) -> bool:
    """Do what the loop does, and let every run that it starts end at once."""
    started = start_due_runs(store)
    for one in store.schedules() if started else ():
        for run in store.scheduled_runs(one.id, limit=1):
            if run.state is RunState.TRAINING:
                end_run(database, run)
    return started


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin"])  # others are tried without a store
def test_a_leap_year_of_nights_is_run_once_a_local_day(own_database_url: str, zone: str) -> None:
    """Month ends, 29 February and both changes of the clocks, at an hour that is skipped and comes twice."""
    database = Database(own_database_url)
    clock = turned_clock(database, own_database_url)
    at(clock, "2028-01-01T12:00", zone)
    with Store(database) as store:
        schedule(store, "nightly", cron="15 2 * * *", timezone=zone)
        schedule(store, "monthly", cron="0 0 L * *", timezone=zone)
        schedule(store, "leap", cron="0 6 29 2 *", timezone=zone)
        while datetime.fromtimestamp(clock.now, ZoneInfo(zone)).year == 2028:
            clock.turn(DAY_S / 2)
            tick(store, database)
        nightly, monthly, leap = (store.scheduled_runs(name, limit=500) for name in ("nightly", "monthly", "leap"))
    days = _days(nightly, zone)
    assert days == [date(2028, 1, 2) + timedelta(days=n) for n in range(len(days))]
    assert days[-1] >= date(2028, 12, 31)
    assert [day.isoformat()[5:] for day in _days(monthly, zone)][:12] == [
        *("01-31", "02-29", "03-31", "04-30", "05-31", "06-30"),
        *("07-31", "08-31", "09-30", "10-31", "11-30", "12-31"),
    ]
    assert _days(leap, zone) == [date(2028, 2, 29)]
    assert {run.n_missed for run in nightly} == {0}


def _days(runs: list[ScheduledRun], zone: str) -> list[date]:
    return [datetime.fromtimestamp(run.due_at, ZoneInfo(zone)).date() for run in reversed(runs)]


@pytest.mark.slow
def test_a_day_of_every_five_minutes_with_two_schedulers_and_an_hour_of_downtime(own_database_url: str) -> None:
    databases = [Database(own_database_url) for _ in range(2)]
    clocks = [turned_clock(database, own_database_url) for database in databases]
    with Store(databases[0]) as one, Store(databases[1]) as other:
        schedule(one, cron="*/5 * * * *")
        started = Counter[bool]()
        for minute in range(24 * 60):
            for clock in clocks:
                clock.turn(60.0)
            if 600 <= minute < 660:
                continue
            first, second = (one, other) if minute % 2 else (other, one)
            is_started = start_due_runs(first)
            assert not start_due_runs(second)
            started[is_started] += 1
            if is_started:
                end_run(databases[0], one.scheduled_runs("nightly", limit=1)[0])
        runs = one.scheduled_runs("nightly", limit=500)
    assert started[True] == len(runs)
    assert len(runs) + sum(run.n_missed for run in runs) == 288
    assert sorted(run.n_missed for run in runs)[-2:] == [0, 11]


def test_a_spec_that_is_not_known_any_more_fails_the_run_and_keeps_no_other_from_it(
    clock_and_store: tuple[TurnedClock, Store],
) -> None:
    clock, store = clock_and_store
    spec = {**store_spec(store), "optimizers": [{"name": "of-a-plug-in"}]}
    schedule(store, "broken", spec=spec), schedule(store, "fine")
    clock.turn(DAY_S)
    assert start_due_runs(store)
    (run,) = store.scheduled_runs("broken")
    assert (run.state, run.job_id) == (RunState.FAILED, None)
    assert run.reason
    assert run.reason.startswith("the spec of schedule broken was valid when it was made, but is not any more: ")
    assert "'of-a-plug-in'" in run.reason
    assert [one.state for one in store.scheduled_runs("fine")] == [RunState.TRAINING]


def test_a_fault_of_one_schedule_keeps_no_other_from_it_and_is_not_hidden(
    clock_and_store: tuple[TurnedClock, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, store = clock_and_store
    schedule(store, "bad"), schedule(store, "fine")
    clock.turn(DAY_S)
    real = store.start_due_run

    def start(due: Schedule, *arguments: Any, **options: Any) -> object:
        if due.name == "bad":
            raise RuntimeError("a fault of ours")
        return real(due, *arguments, **options)

    monkeypatch.setattr(store, "start_due_run", start)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        start_due_runs(store)
    assert (len(store.scheduled_runs("fine")), len(store.scheduled_runs("bad"))) == (1, 0)


def test_the_job_of_a_run_is_the_spec_with_a_tag_more(store: Store) -> None:
    made = schedule(store, spec={**store_spec(store), "tags": ["mine"], "priority": 7})
    new = scheduled_job(made)
    assert (new.tags, new.priority, new.submitted_by, new.n_cells) == (("mine", "schedule:nightly"), 7, "local", 2)


def store_spec(store: Store) -> dict[str, object]:
    """Return the spec that schedules of tests have, with defaults filled in."""
    made = schedule(store, "template")
    store.delete_schedule("template")
    return dict(made.spec)


def test_the_loop_starts_what_is_due_and_ends_in_order(
    clock_and_store: tuple[TurnedClock, Store], own_database_url: str
) -> None:
    clock, store = clock_and_store
    schedule(store)

    async def run() -> None:
        async with running_schedules(store, poll_s=POLL_S):
            clock.turn(DAY_S)
            await until(lambda: count_runs(own_database_url) == 1, "the run has started")

    asyncio.run(run())
    assert count_queued(store) == 1


@pytest.mark.parametrize("fault", [UnavailableError("the database is away."), RuntimeError("a fault of ours")])
def test_a_step_that_does_not_work_is_said_once_and_stops_no_other(
    store: Store, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    calls: list[str] = []

    def away(_: Store) -> bool:
        calls.append("away")
        if 2 <= len(calls) < 8:
            raise fault
        return False

    def other(_: Store) -> bool:
        calls.append("other")
        return False

    async def run() -> None:
        async with running_schedules(store, steps=(away, other), poll_s=POLL_S):
            await until(lambda: len(calls) >= 20, "it goes on")

    asyncio.run(run())
    assert calls[:20] == ["away", "other"] * 10
    assert caplog.text.count(f"schedules: away does not work: {fault}") == 1
    assert ("Traceback" in caplog.text) == isinstance(fault, RuntimeError)


def test_a_stop_lets_the_step_under_way_finish_and_begins_no_other(store: Store) -> None:
    calls: list[str] = []
    is_stopping = threading.Event()

    def slow(_: Store) -> bool:
        calls.append("begun")
        assert is_stopping.wait(60)
        calls.append("done")
        return True

    async def run() -> None:
        async with running_schedules(store, steps=(slow, slow), poll_s=POLL_S):
            await until(lambda: bool(calls), "it has begun")
            asyncio.get_running_loop().call_soon(is_stopping.set)  # when the end of the context waits for the step

    asyncio.run(run())
    assert calls == ["begun", "done"]
