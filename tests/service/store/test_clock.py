"""Only the database's clock counts: for leases, delays, idempotency keys and dispatchers."""

import ast
import time
from pathlib import Path

import pytest

import service.store
from service.store import LostLeaseError, Store
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import make_record, new_job, queue, register, start, write

HOUR_S = 3600


def test_no_module_of_the_store_knows_another_clock() -> None:
    folder = Path(service.store.__file__).parent
    for path in [*folder.rglob("*.py"), folder.parent / "states.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            modules = [node.module] if isinstance(node, ast.ImportFrom) else names
            assert not {"time", "datetime"} & set(modules), f"{path} imports a clock"


@pytest.mark.parametrize("skew_s", [-HOUR_S, HOUR_S])
def test_a_wrong_clock_of_the_host_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, skew_s: int) -> None:
    queue(store)
    first = start(store, "one", ttl_s=60)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew_s)
    assert store.claim("two", 60) is None
    store.renew(first.id, 1, 0)
    assert start(store, "two").attempt == 2


def test_a_lease_runs_out_to_the_second(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    register(store)
    queue(store)
    job = start(store, "one", ttl_s=60)
    clock.turn(59)
    assert store.claim("two", 60) is None
    write(store, job, [make_record(0)])
    clock.turn(59)
    assert store.claim("two", 60) is None
    clock.turn(2)
    assert start(store, "two").attempt == 2
    with pytest.raises(LostLeaseError, match="attempt 1"):
        store.renew(job.id, 1, 60)


def test_a_delay_passes(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    queue(store)
    job = start(store)
    store.release(job.id, 1, crashed=True, delay_s=10)
    clock.turn(9)
    assert store.claim("two", 60) is None
    clock.turn(2)
    assert start(store).attempt == 2


def test_an_idempotency_key_is_kept_for_a_day(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    store.submit(new_job(), idempotency_key="k")
    clock.turn(24 * HOUR_S - 1)
    assert not store.submit(new_job(), idempotency_key="k")[1]
    clock.turn(2)
    assert store.submit(new_job("another"), idempotency_key="k")[1]


def test_a_silent_dispatcher_is_taken_for_dead(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    store.report_dispatcher("one", "host", 1, "0.1", {})
    queue(store)
    job = start(store, ttl_s=HOUR_S)
    queue(store, priority=1)
    assert store.preempt_candidate(60) is None
    clock.turn(61)
    assert store.dispatchers(60) == []
    assert [found.age_s for found in store.dispatchers(120)] == [pytest.approx(61, abs=0.01)]
    asked = store.preempt_candidate(60)
    assert asked is not None
    assert asked.id == job.id


def test_times_are_the_databases(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    register(store)
    clock.turn(100)
    queue(store)
    job = start(store)
    write(store, job, [make_record(0)])
    found = store.job(job.id)
    times = [found.created_at, found.started_at, found.first_record_at, store.records(job.id)[0].created_at]
    assert times == pytest.approx([clock.now] * 4, abs=0.01)
