"""All records of a pack are found, whoever uses them, and in the order of their training."""

from dataclasses import replace

from benchmark.records import PackPlace, Status
from service.states import JobState
from service.store import Store, TrainedPack
from tests.service.store.samples import OTHER_FINGERPRINT, key_of, make_record, place, running, start, write


def test_a_pack_is_all_that_was_trained_in_it(store: Store) -> None:
    job = running(store)
    order = [4, 0, 3]
    packs = {
        "pack-a": [
            replace(make_record(cell), pack=PackPlace("pack-a", 3, position)) for position, cell in enumerate(order)
        ],
        "pack-b": [replace(make_record(7), pack=PackPlace("pack-b", 1, 0))],
    }
    write(store, job, [*reversed(packs["pack-a"]), *packs["pack-b"]])
    first = TrainedPack(job.id, job.attempt, "pack-a")
    found = store.records_of_packs([first])
    assert list(found) == [first]
    assert found[first] == packs["pack-a"]
    assert [record.outcome.curve for record in store.records_of_packs([first], curves=False)[first]] == [{}, {}, {}]
    both = store.records_of_packs([first, first, TrainedPack(job.id, job.attempt, "pack-b")])
    assert {pack.pack: len(records) for pack, records in both.items()} == {"pack-a": 3, "pack-b": 1}


def test_what_a_retry_has_replaced_is_still_there_under_its_attempt(store: Store) -> None:
    job = running(store, n_cells=1)
    write(store, job, [make_record(0, Status.TIMED_OUT)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    store.retry(job.id)
    again = start(store)
    write(store, again, [make_record(0, fingerprint=OTHER_FINGERPRINT)])
    packs = [TrainedPack(job.id, attempt, "pack-1") for attempt in (1, 2, 3)]
    found = store.records_of_packs(packs)
    assert {pack.attempt: [one.outcome.status for one in records] for pack, records in found.items()} == {
        1: [Status.TIMED_OUT],
        2: [Status.COMPLETED],
    }


def test_records_that_went_with_their_job_are_left_out(store: Store) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(3)])
    store.finish(job.id, job.attempt, JobState.COMPLETED)
    other = running(store)
    kept = make_record(9)
    store.write_records(other.id, other.attempt, place(kept), 60)
    store.delete(job.id)
    found = store.records_of_packs([TrainedPack(job.id, 1, "pack-1"), TrainedPack(other.id, 1, "pack-1")])
    assert {pack.job_id: [record.config_key for record in records] for pack, records in found.items()} == {
        other.id: [key_of(9)]
    }


def test_nothing_is_found_of_nothing(store: Store) -> None:
    assert store.records_of_packs([]) == {}
