"""A check-up sees which owners went silent and what is damaged, and changes nothing."""

import contextlib
import sqlite3

import pytest

from service.states import JobState
from service.store import Store
from tests.service.store.samples import make_record, queue, running, write


def test_only_running_jobs_beyond_their_lease_have_lapsed(store: Store) -> None:
    queue(store, "waiting", priority=-1)
    ended, alive, silent = running(store), running(store), running(store)
    store.finish(ended.id, ended.attempt, JobState.FAILED)
    assert store.lapsed_jobs() == []
    store.renew(silent.id, silent.attempt, 0.0)
    assert [job.id for job in store.lapsed_jobs()] == [silent.id]
    assert store.job(alive.id) == alive
    taken = store.claim("two", 60.0)
    assert taken is not None
    assert taken.id == silent.id
    assert store.lapsed_jobs() == []


def test_a_whole_database_has_no_damage(store: Store, backend: str) -> None:
    assert store.damage() == ([] if backend == "sqlite" else None)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_row_that_breaks_a_rule_of_its_table_is_damage(database_url: str, store: Store, backend: str) -> None:
    job = running(store)
    write(store, job, [make_record(cell) for cell in range(400)])
    store.close()
    with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute("UPDATE record SET status = 99").rowcount == 400
    with Store.open(database_url) as reopened:
        assert reopened.damage()


def test_an_address_has_no_password(store: Store, backend: str) -> None:
    assert store.address.startswith(backend)
