"""Dispatchers report, are listed while they are alive, and go."""

import time

from service.store import Store


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
