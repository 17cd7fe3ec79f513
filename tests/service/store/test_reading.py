"""Records are read by page, by filter and as a stream."""

import itertools

import pytest

from benchmark.records import Status
from service.store import NotFoundError, RecordFilter, Store
from tests.service.store.samples import (
    FINGERPRINT,
    OTHER_FINGERPRINT,
    SETTING,
    TTL_S,
    key_of,
    make_record,
    place,
    running,
    write,
)


def test_pages_follow_one_another(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(7)])
    seen: list[str] = []
    while page := store.records(job.id, seen[-1] if seen else None, 3):
        assert len(page) <= 3
        seen += [item.record.config_key for item in page]
    assert seen == sorted(key_of(cell) for cell in range(7))


def test_filters_go_together(store: Store) -> None:
    job = running(store)
    places = itertools.product(("digits-mlp", "cifar"), ("sam", "msam"), (Status.COMPLETED, Status.DIVERGED))
    for cell, (task, optimizer, status) in enumerate(places):
        placed = place(make_record(cell, status), task=task, optimizer=optimizer)
        store.write_records(job.id, job.attempt, placed, TTL_S)
    assert len(store.records(job.id)) == 8
    assert len(store.records(job.id, which=RecordFilter(task="cifar"))) == 4
    assert len(store.records(job.id, which=RecordFilter(status=Status.DIVERGED, optimizer="sam"))) == 2
    (found,) = store.records(job.id, which=RecordFilter(status=Status.DIVERGED, optimizer="sam", task="cifar"))
    assert (found.task, found.optimizer, found.record.outcome.status) == ("cifar", "sam", Status.DIVERGED)
    some = RecordFilter(config_keys=(key_of(1), key_of(6), key_of(100)))
    assert {one.record.config_key for one in store.records(job.id, which=some)} == {key_of(1), key_of(6)}
    assert store.records(job.id, which=RecordFilter(config_keys=())) == []


def test_curves_are_left_out_on_demand(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(3)])
    assert all(item.record.outcome.curve for item in store.iter_records(job.id))
    without = list(store.iter_records(job.id, curves=False))
    assert len(without) == 3
    assert not any(item.record.outcome.curve for item in without)


def test_a_stream_sees_what_is_written_meanwhile_but_nothing_twice(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(600)])
    stream = store.iter_records(job.id)
    seen = [next(stream).record.config_key]
    write(store, job, [make_record(cell) for cell in range(600, 700)])
    seen += [item.record.config_key for item in stream]
    assert seen == sorted(set(seen))
    assert {key_of(cell) for cell in range(600)} <= set(seen)


def test_documents_are_found_by_key(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(0), make_record(1, fingerprint=OTHER_FINGERPRINT)])
    assert store.progress(job.id).fingerprints == tuple(sorted([FINGERPRINT, OTHER_FINGERPRINT]))
    assert store.fingerprints([FINGERPRINT, key_of(5)]) == {FINGERPRINT: {"torch": "2"}}
    assert store.settings([SETTING]) == {SETTING: {"task": "digits-mlp"}}
    store.register({SETTING: {"task": "another"}}, {})
    assert store.settings([SETTING]) == {SETTING: {"task": "digits-mlp"}}


@pytest.mark.parametrize("record_id", ["", "x", "0" * 32, "0" * 31 + "\0", "A" * 32])
def test_an_unknown_record_is_not_found(store: Store, record_id: str) -> None:
    with pytest.raises(NotFoundError, match="there is no record"):
        store.record(record_id)
