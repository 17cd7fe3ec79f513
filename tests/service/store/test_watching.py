"""A look at which jobs have changed."""

import pytest

from service.states import JobState
from service.store import NotFoundError, Store
from tests.service.store.samples import queue, start


def test_a_look_finds_what_has_not_ended_what_is_asked_for_and_what_is_new(store: Store) -> None:
    ended, asked, waiting, paused = (queue(store, name) for name in ("ended", "asked", "waiting", "paused"))
    for job in (ended, asked):
        store.cancel(job.id)
    store.pause(paused.id)
    first = store.revisions([asked.id, "gone"])
    assert first.of == {asked.id: 2, waiting.id: 1, paused.id: 2}
    assert first.newest == paused.seq
    short = queue(store, "short")
    store.cancel(short.id)
    second = store.revisions([], first.newest)
    assert second.of == {waiting.id: 1, paused.id: 2, short.id: 2}, "one that came and ended between two looks is new"
    assert second.newest == short.seq
    assert short.id not in store.revisions([], second.newest).of


def test_a_claim_and_an_end_are_revisions(store: Store) -> None:
    job = queue(store)
    before = store.revisions([]).of[job.id]
    attempt = start(store).attempt
    claimed = store.revisions([]).of[job.id]
    store.finish(job.id, attempt, JobState.COMPLETED)
    assert before < claimed < store.revisions([job.id]).of[job.id]
    store.delete(job.id)
    assert store.revisions([job.id]).of == {}
    with pytest.raises(NotFoundError, match="there is no job"):
        store.revisions(["a\0b"])


def test_many_are_asked_for_at_once(store: Store) -> None:
    jobs = [queue(store, f"job {number}") for number in range(3)]
    for job in jobs:
        store.cancel(job.id)
    many = [*(job.id for job in jobs), *(f"none{number}" for number in range(1_200))]
    assert store.revisions(many).of == {job.id: 2 for job in jobs}
