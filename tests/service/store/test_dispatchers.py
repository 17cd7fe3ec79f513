"""Dispatchers report, are listed while they are alive, and go."""

import time

import pytest

from service.states import JobState
from service.store import NotFoundError, Store
from service.store.database import Database
from service.store.dispatchers import SILENT_S
from tests.service.store.clocks import turned_clock
from tests.service.store.samples import queue


def test_a_dispatcher_is_listed_as_it_last_reported(store: Store) -> None:
    store.report_dispatcher("b", "host", 7, "0.1", {"cpus": 2})
    store.report_dispatcher("a", "host", 8, "0.1", {"cpus": 4}, "0123456789")
    store.report_dispatcher("b", "host", 9, "0.2", {"cpus": 3}, "abcdefghjk")

    first, second = store.dispatchers(60)

    assert (first.id, first.pid, first.resources, first.job_id) == ("a", 8, {"cpus": 4}, "0123456789")
    assert (second.id, second.pid, second.version, second.job_id) == ("b", 9, "0.2", "abcdefghjk")
    assert second.started_at < second.heartbeat
    assert 0 <= second.age_s < 60


def test_who_is_silent_or_gone_is_not_listed(store: Store) -> None:
    store.report_dispatcher("a", "host", 1, "0.1", {})
    time.sleep(0.01)  # the heartbeat must have an age at all
    assert store.dispatchers(0.001) == []
    assert len(store.dispatchers(60)) == 1
    store.forget_dispatcher("a")
    store.forget_dispatcher("a")
    assert store.dispatchers(60) == []


def test_one_that_was_killed_is_forgotten_after_a_month(own_database_url: str) -> None:
    database = Database(own_database_url)
    clock = turned_clock(database, own_database_url)
    with Store(database) as store:
        store.report_dispatcher("killed", "host", 1, "0.1", {})
        clock.turn(SILENT_S - 1)
        store.report_dispatcher("alive", "host", 2, "0.1", {})
        assert len(store.dispatchers(2 * SILENT_S)) == 2
        clock.turn(2)
        store.report_dispatcher("alive", "host", 2, "0.1", {})
        assert [found.id for found in store.dispatchers(2 * SILENT_S)] == ["alive"]


def test_who_runs_a_job_and_for_how_long(store: Store) -> None:
    job = queue(store)
    assert store.ownership(job.id) is None
    store.claim("a-1-b", 600)
    owned = store.ownership(job.id)
    assert owned is not None
    assert (owned.owner, owned.heartbeat_age_s) == ("a-1-b", None)
    assert 590 < owned.lease_left_s <= 600
    store.report_dispatcher("another", "b", 2, "0.1", {}, job.id)
    store.report_dispatcher("a-1-b", "a", 1, "0.1", {}, job.id)
    time.sleep(0.01)  # ages are not zero
    owned = store.ownership(job.id)
    assert owned is not None
    assert owned.heartbeat_age_s is not None
    assert 0 < owned.heartbeat_age_s < 60
    store.renew(job.id, 1, 0)
    time.sleep(0.01)
    owned = store.ownership(job.id)
    assert owned is not None
    assert -60 < owned.lease_left_s < 0
    store.finish(job.id, 1, JobState.COMPLETED)
    assert store.ownership(job.id) is None
    assert store.ownership("0000000000") is None
    with pytest.raises(NotFoundError, match="there is no job 'No Job'"):
        store.ownership("No Job")
