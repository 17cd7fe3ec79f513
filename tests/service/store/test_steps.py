"""What is done for every write, every second or every page takes no more steps however much is there."""

from collections.abc import Callable
from typing import Any

import pytest

from service.states import JobState
from service.store import Job, JobQuery, Store
from tests.service.store.samples import (
    FINGERPRINT,
    TTL_S,
    key_of,
    make_record,
    queue,
    register,
    running,
    start,
    want,
    write,
)

EACH = 5  # steps
SLACK = 1.5  # searches through a larger tree are a little longer
pytestmark = pytest.mark.parametrize("backend", ["sqlite"])  # which counts its steps


def steps_of(store: Store, call: Callable[[], object]) -> int:
    """Return about how many instructions SQLite executes for a call."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += EACH

    def watch(handler: Callable[[], None] | None) -> None:
        with store._database.engine.connect() as connection:  # the pool gives the same one to one caller after another
            raw: Any = connection.connection.dbapi_connection
            raw.set_progress_handler(handler, EACH)

    watch(count)
    call()
    watch(None)
    return counted


def require_flat(few: dict[str, int], many: dict[str, int]) -> None:
    grown = {name: (few[name], many[name]) for name in few if many[name] > SLACK * few[name] + 10 * EACH}
    assert not grown
    assert all(few.values()), "they were counted"


def test_however_many_records_a_job_has(store: Store) -> None:
    job = running(store, n_cells=4_000)

    def counted() -> dict[str, int]:
        fresh = store.progress(job.id).n_linked
        return {
            "write": steps_of(store, lambda: write(store, job, [make_record(fresh + n) for n in range(20)])),
            "write again": steps_of(store, lambda: write(store, job, [make_record(0)])),
            "progress": steps_of(store, lambda: store.progress(job.id)),
            "page": steps_of(store, lambda: store.records(job.id, limit=20)),
            "renew": steps_of(store, lambda: store.renew(job.id, job.attempt, TTL_S)),
        }

    write(store, job, [make_record(n) for n in range(20)])
    few = counted()
    write(store, job, [make_record(n) for n in range(100, 3_000)])
    require_flat(few, counted())


def test_however_many_jobs_there_are(store: Store) -> None:
    register(store)
    keys = [key_of(n) for n in range(20)]

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            queue(store, f"job {number}", n_cells=20)
            job = start(store)
            write(store, job, [make_record(20 * number + n) for n in range(20)])
            store.finish(job.id, job.attempt, JobState.COMPLETED)

    def counted() -> dict[str, int]:
        ids = [job.id for job in store.jobs(JobQuery(limit=20))]
        claimed: list[Job] = []
        queue(store, "next", n_cells=20)
        calls: dict[str, Callable[[], object]] = {
            "claim": lambda: claimed.append(start(store)),
            "submit": lambda: queue(store, "another"),
            "reuse": lambda: store.link_reusable(claimed[0].id, claimed[0].attempt, want(*range(20)), TTL_S),
            "count reusable": lambda: store.count_reusable(FINGERPRINT, keys),
            "requested": lambda: store.requested(claimed[0].id, claimed[0].attempt),
            "finish": lambda: store.finish(claimed[0].id, claimed[0].attempt, JobState.COMPLETED),
            "list": lambda: store.listed(JobQuery(limit=20)),
            "progress": lambda: store.progress_of(ids),
            "revisions": lambda: store.revisions(ids),
            "candidate": lambda: store.preempt_candidate(TTL_S),
            "lapsed": store.lapsed_jobs,
            "due schedules": store.due_schedules,
            "ended runs": store.ended_runs,
            "due replays": store.due_replays,
            "due messages": lambda: store.claim_deliveries(10, TTL_S),
        }
        found = {name: steps_of(store, call) for name, call in calls.items()}
        while left := store.claim("one", TTL_S):
            store.finish(left.id, left.attempt, JobState.COMPLETED)
        return found

    fill(0, 20)
    few = counted()
    fill(20, 200)
    require_flat(few, counted())
