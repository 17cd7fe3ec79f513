"""The sink between Tune's callbacks and the store."""

import time
from collections.abc import Sequence

import pytest

from benchmark import Record
from service.jobs.sink import FLUSH_CELLS, PROGRESS_S, RecordSink
from service.store import InFlight, InvalidValueError, Job, LostLeaseError, PlacedRecord, Store, UnavailableError
from tests.service.filling import LEASE_S, records_of, small_spec, submit

LOST = 6


@pytest.fixture
def job(store: Store) -> Job:
    """A claimed job of 24 cells."""
    queued = submit(store, small_spec(seeds={"count": 3}, gd=False))
    claimed = store.claim("me", LEASE_S, only=queued.id)
    assert claimed is not None
    placed = records_of(claimed)
    store.register({one.record.setting: {} for one in placed}, {placed[0].record.fingerprint: {}})
    return claimed


def make_sink(store: Store, job: Job, asked: list[str] | None = None) -> tuple[RecordSink, list[Record]]:
    placed = records_of(job)
    labels = {one.record.config_key: (one.task, one.optimizer) for one in placed}
    note = [] if asked is None else asked
    made = RecordSink(
        store,
        job.id,
        job.attempt,
        lease_s=0.2,
        labels=labels,
        on_request=lambda: note.append("asked"),
        lost_lease_code=LOST,
    )
    return made, [one.record for one in placed]


def test_records_wait_for_company_or_half_a_second(store: Store, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sink, records = make_sink(store, job)
    sink.on_records(records[: FLUSH_CELLS - 1])
    assert store.progress(job.id).n_linked == 0
    now += 0.4
    sink.on_records(())
    assert store.progress(job.id).n_linked == 0
    now += 0.2
    sink.on_records(())
    assert store.progress(job.id).n_linked == FLUSH_CELLS - 1


def test_enough_records_are_written_at_once_and_the_rest_at_the_end(store: Store, job: Job) -> None:
    sink, records = make_sink(store, job)
    sink.on_records(records[:FLUSH_CELLS])
    assert store.progress(job.id).n_linked == FLUSH_CELLS
    sink.on_records(records[FLUSH_CELLS : FLUSH_CELLS + 1])
    sink.flush()
    sink.flush()
    assert store.progress(job.id).n_linked == FLUSH_CELLS + 1


def test_word_of_cells_in_flight_goes_with_records_and_every_few_seconds(
    store: Store, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sink, records = make_sink(store, job)
    told: list[InFlight | None] = []

    def tick(in_flight: list[tuple[int, int]], seconds: float) -> None:
        nonlocal now
        now += seconds
        sink.on_flight(in_flight)
        sink.on_records(())
        told.append(store.progress(job.id).in_flight)

    revision = store.job(job.id).revision
    for taken in range(5):
        tick([(taken, 10)], 0.3)
    tick([(5, 10), (1, 10)], PROGRESS_S)
    tick([(5, 10), (1, 10)], PROGRESS_S)  # nothing new is nothing to tell
    first, second = InFlight(1, 0.0, 0.0), InFlight(2, 0.6, 0.5)
    assert told == [first] * 5 + [second] * 2
    assert store.job(job.id).revision == revision + 2
    sink.on_flight([(1, 10)])
    sink.on_records(records[:FLUSH_CELLS])
    assert store.progress(job.id).in_flight == InFlight(1, 0.1, 0.1), "a cell with a record is in flight no more"
    tick([], PROGRESS_S)
    assert told[-1] is None


def test_word_of_cells_in_flight_keeps_the_fence(store: Store, job: Job) -> None:
    sink, _ = make_sink(store, job)
    store.release(job.id, job.attempt, crashed=False)
    sink.on_flight([(1, 2)])
    with pytest.raises(SystemExit) as caught:
        sink.on_records(())
    assert caught.value.code == LOST


def test_a_request_comes_back_with_the_write(store: Store, job: Job) -> None:
    asked: list[str] = []
    sink, records = make_sink(store, job, asked)
    store.pause(job.id)
    sink.on_records(records[:FLUSH_CELLS])
    assert asked == ["asked"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(LostLeaseError("taken"), LOST), (UnavailableError("away"), 1), (InvalidValueError("a NUL"), 1)],
)
def test_it_ends_the_process_by_the_one_exception_that_tune_lets_through(
    store: Store, job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    sink, records = make_sink(store, job)

    def refuse(job_id: str, attempt: int, placed: Sequence[PlacedRecord], ttl_s: float) -> None:
        raise error

    monkeypatch.setattr(store, "write_records", refuse)
    with pytest.raises(SystemExit) as caught:
        sink.on_records(records[:FLUSH_CELLS])
    assert caught.value.code == code
    sink.flush()  # what was given up is not tried again


def test_a_database_that_comes_back_gets_everything(store: Store, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, records = make_sink(store, job)
    original, faults = store.write_records, [UnavailableError("away")] * 2

    def flaky(job_id: str, attempt: int, placed: Sequence[PlacedRecord], ttl_s: float) -> str | None:
        if faults:
            raise faults.pop()
        return original(job_id, attempt, placed, LEASE_S)

    monkeypatch.setattr(store, "write_records", flaky)
    sink.on_records(records[:FLUSH_CELLS])
    assert store.progress(job.id).n_linked == FLUSH_CELLS
