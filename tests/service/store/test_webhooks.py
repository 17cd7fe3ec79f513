"""Webhooks are kept, told of every end in the transaction of that end, and sent to by one server at a time."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from service.states import JobState
from service.store import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    IdempotencyConflictError,
    InvalidValueError,
    NewWebhook,
    NotFoundError,
    Store,
    UnavailableError,
    Webhook,
)
from service.store.database import Database
from service.store.deliveries import KEPT_S
from service.store.outbox import MAX_ERROR
from service.summary import job_values
from tests.service.store.clocks import TurnedClock
from tests.service.store.samples import make_record, new_job, queue, running, start, write
from tests.service.store.torn import TornDatabase

LEASE_S = 10.0
OTHER_SECRET = "whsec_b3RoZXI="  # noqa: S105  (a test's)
ENDS = ("job.completed", "job.failed", "job.cancelled")
FINE = DeliveryAttempt(status=200, error=None, elapsed_s=0.5)
BAD = DeliveryAttempt(status=500, error="status", elapsed_s=0.5)


def new_webhook(**changes: Any) -> NewWebhook:
    values: dict[str, Any] = {"url": "https://hooks.example/a", "secret": "whsec_c2VjcmV0", "events": ENDS}
    return NewWebhook(**values | changes)


def hook(store: Store, **changes: Any) -> Webhook:
    return store.create_webhook(new_webhook(**changes))[0]


def rows(url: str) -> int:
    """Number of deliveries to webhooks that are there or not."""
    database = Database(url)
    with database.read() as connection:
        n = connection.execute(text("SELECT count(*) FROM delivery")).scalar_one()
    database.close()
    return int(n)


def told(store: Store, webhook: Webhook) -> list[str]:
    return [delivery.event for delivery in reversed(store.deliveries(webhook.id))]


def complete(store: Store) -> None:
    job = running(store)
    store.finish(job.id, job.attempt, JobState.COMPLETED)


def fail(store: Store) -> None:
    job = running(store)
    store.finish(job.id, job.attempt, JobState.FAILED, error="out of time")


def cancel_while_queued(store: Store) -> None:
    store.cancel(queue(store).id)


def cancel_while_paused(store: Store) -> None:
    store.cancel(store.pause(queue(store).id).id)


def cancel_while_running(store: Store) -> None:
    job = running(store)
    store.cancel(job.id)
    store.finish(job.id, job.attempt, JobState.CANCELLED)


def cancel_and_release(store: Store) -> None:
    job = running(store)
    store.cancel(job.id)
    store.release(job.id, job.attempt, crashed=False)


def crash_too_often(store: Store) -> None:
    queue(store, max_crashes=1)
    job = start(store)
    store.release(job.id, job.attempt, crashed=True)


def fall_silent_too_often(store: Store) -> None:
    queue(store, max_crashes=1)
    assert store.claim("one", 0.0)
    assert store.claim("two", LEASE_S) is None


def cancel_after_its_owner_fell_silent(store: Store) -> None:
    queue(store)
    job = store.claim("one", 0.0)
    assert job
    store.cancel(job.id)


def fall_silent_after_a_cancel(store: Store) -> None:
    queue(store)
    job = store.claim("one", LEASE_S)
    assert job
    store.cancel(job.id)
    store.renew(job.id, job.attempt, 0.0)
    assert store.claim("two", LEASE_S) is None


def pause_and_go_on(store: Store) -> None:
    store.resume(store.pause(queue(store).id).id)
    job = store.claim("one", LEASE_S)
    assert job
    store.release(job.id, job.attempt, crashed=True)


ENDINGS: list[tuple[Callable[[Store], None], list[str]]] = [
    (complete, ["job.completed"]),
    (fail, ["job.failed"]),
    (cancel_while_queued, ["job.cancelled"]),
    (cancel_while_paused, ["job.cancelled"]),
    (cancel_while_running, ["job.cancelled"]),
    (cancel_and_release, ["job.cancelled"]),
    (crash_too_often, ["job.failed"]),
    (fall_silent_too_often, ["job.failed"]),
    (cancel_after_its_owner_fell_silent, ["job.cancelled"]),
    (fall_silent_after_a_cancel, ["job.cancelled"]),
    (pause_and_go_on, []),
]


@pytest.mark.parametrize(("end", "expected"), ENDINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_way_to_end_is_told_once(store: Store, end: Callable[[Store], None], expected: list[str]) -> None:
    webhook = hook(store)
    end(store)
    assert told(store, webhook) == expected


def test_a_message_says_what_the_api_says_of_the_job(store: Store) -> None:
    webhook = hook(store)
    job = running(store, n_cells=2)
    write(store, job, [make_record(0)])
    ended = store.finish(job.id, job.attempt, JobState.FAILED, error="x" * 5_000)
    (delivery,) = store.deliveries(webhook.id)
    body = json.loads(delivery.body)
    expected = job_values(ended, store.progress(job.id))
    del expected["execution"]
    assert body["data"] == {**expected, "error": "x" * MAX_ERROR}
    assert body["data"]["progress"]["completed"] == 1
    assert (body["type"], body["timestamp"]) == ("job.failed", expected["finished_at"])
    assert delivery.created_at == ended.finished_at


def test_the_longest_names_and_many_tasks_make_a_small_message(store: Store) -> None:
    webhook = hook(store)
    store.submit(new_job("n" * 200, tags=tuple(f"{n:0200}" for n in range(50))))
    job = start(store)
    many = {f"{task:0200}": {f"{rule:0200}": "sequential" for rule in range(50)} for task in range(16)}
    store.set_execution(job.id, job.attempt, many)
    store.finish(job.id, job.attempt, JobState.FAILED, error="\u4e00" * 5_000)
    (delivery,) = store.deliveries(webhook.id)
    assert len(delivery.body.encode()) < 64 * 1024


def test_only_what_was_asked_for_is_told_and_only_to_whom_it_is_enabled(store: Store) -> None:
    all_of_it, failures, disabled = hook(store), hook(store, events=("job.failed",)), hook(store, enabled=False)
    complete(store)
    fail(store)
    assert told(store, all_of_it) == ["job.completed", "job.failed"]
    assert told(store, failures) == ["job.failed"]
    assert told(store, disabled) == []


def test_a_job_that_ends_twice_is_told_twice(store: Store) -> None:
    webhook = hook(store)
    job = queue(store)
    store.cancel(job.id)
    store.retry(job.id)
    store.cancel(job.id)
    assert told(store, webhook) == ["job.cancelled"] * 2
    assert len({delivery.id for delivery in store.deliveries(webhook.id)}) == 2


def test_an_end_and_its_message_are_written_together_or_not_at_all(database_url: str) -> None:
    database = TornDatabase(database_url)
    with Store(database) as store:
        webhook, job = hook(store), queue(store)
        database.torn = True
        with pytest.raises(UnavailableError, match="torn"):
            store.cancel(job.id)
        database.torn = False
        assert store.job(job.id).state is JobState.QUEUED
        assert told(store, webhook) == []
        store.cancel(job.id)
        assert told(store, webhook) == ["job.cancelled"]


def test_webhooks_are_found_changed_and_deleted(store: Store) -> None:
    first, second = hook(store), hook(store, description="the other")
    assert store.webhook(first.id) == first
    assert store.webhooks() == [first, second]
    assert store.webhooks(limit=1) == [first]
    assert store.webhooks(after=first.seq) == [second]
    changed = store.change_webhook(second.id, {"url": "https://b.example", "events": ("job.failed",)})
    assert (changed.url, changed.events, changed.description) == ("https://b.example", ("job.failed",), "the other")
    assert store.change_webhook(second.id, {}) == changed
    with pytest.raises(InvalidValueError, match="secret of a webhook cannot be changed"):
        store.change_webhook(second.id, {"secret": "x"})
    store.test_webhook(second.id)
    store.delete_webhook(second.id)
    assert store.webhooks() == [first]
    for call in (store.webhook, store.delete_webhook, store.test_webhook, store.deliveries):
        with pytest.raises(NotFoundError, match=f"there is no webhook '{second.id}'"):
            call(second.id)


def test_a_secret_is_in_no_text(store: Store) -> None:
    webhook = hook(store)
    store.test_webhook(webhook.id)
    due = store.claim_deliveries(1, LEASE_S)
    assert "whsec" not in f"{webhook} {webhook!r} {new_webhook()} {due}"


def test_an_idempotency_key_gives_the_webhook_of_the_first_call(store: Store) -> None:
    first, created = store.create_webhook(new_webhook(), principal="ci", idempotency_key="k")
    assert created
    again, created = store.create_webhook(new_webhook(secret=OTHER_SECRET), principal="ci", idempotency_key="k")
    assert (again, created) == (first, False)
    for call in (
        lambda: store.create_webhook(new_webhook(description="other"), principal="ci", idempotency_key="k"),
        lambda: store.submit(new_job(), principal="ci", idempotency_key="k"),
    ):
        with pytest.raises(IdempotencyConflictError, match="'k' was used before with another body"):
            call()
    store.delete_webhook(first.id)
    assert store.create_webhook(new_webhook(), principal="ci", idempotency_key="k")[1], "the key went with the webhook"


def claim_one(store: Store) -> Delivery:
    (due,) = store.claim_deliveries(10, LEASE_S)
    return due.delivery


def test_a_delivery_is_repeated_until_it_is_delivered_under_one_id(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    webhook = hook(store)
    complete(store)
    (waiting,) = store.deliveries(webhook.id)
    first = claim_one(store)
    assert (first.id, first.body, first.n_attempts) == (waiting.id, waiting.body, 1)
    assert store.settle_delivery(first, BAD, again_in_s=5)
    assert store.claim_deliveries(10, LEASE_S) == []
    clock.turn(5.1)
    second = claim_one(store)
    assert (second.id, second.body, second.n_attempts) == (waiting.id, waiting.body, 2)
    clock.turn(0.5)
    assert store.settle_delivery(second, FINE)
    clock.turn(LEASE_S)
    assert store.claim_deliveries(10, LEASE_S) == []
    (done,) = store.deliveries(webhook.id)
    assert (done.state, done.due_at) == (DeliveryState.DELIVERED, None)
    shown = [(entry["attempt"], entry["status"], entry["error"], entry["elapsed_s"]) for entry in done.attempts]
    assert shown == [(1, 500, "status", 0.5), (2, 200, None, 0.5)]
    assert done.attempts[1]["at"] == pytest.approx(clock.now - LEASE_S - 0.5, abs=0.01)


def test_what_a_dead_server_took_is_due_again_and_its_late_word_counts_no_more(
    clock_and_store: tuple[TurnedClock, Store],
) -> None:
    clock, store = clock_and_store
    webhook = hook(store)
    complete(store)
    lost = claim_one(store)
    clock.turn(LEASE_S - 0.1)
    assert store.claim_deliveries(10, LEASE_S) == []
    clock.turn(0.2)
    taken = claim_one(store)
    assert (taken.id, taken.n_attempts) == (lost.id, 2)
    assert not store.settle_delivery(lost, BAD)
    assert store.settle_delivery(taken, FINE)
    assert not store.settle_delivery(taken, BAD)
    (done,) = store.deliveries(webhook.id)
    assert [entry["attempt"] for entry in done.attempts] == [2]


def test_what_is_given_up_is_not_sent_again(store: Store) -> None:
    webhook = hook(store)
    complete(store)
    store.settle_delivery(claim_one(store), BAD)
    (done,) = store.deliveries(webhook.id)
    assert (done.state, done.due_at) == (DeliveryState.FAILED, None)
    assert store.claim_deliveries(10, LEASE_S) == []


def test_a_receiver_that_is_gone_disables_its_webhook_and_no_other(store: Store) -> None:
    gone, other = hook(store), hook(store)
    complete(store)
    fail(store)
    due = {item.delivery.id: item for item in store.claim_deliveries(10, LEASE_S)}
    newest = store.deliveries(gone.id)[0]
    assert store.settle_delivery(
        due[newest.id].delivery, DeliveryAttempt(status=410, error="status", elapsed_s=0.1), gone=True
    )
    assert not store.webhook(gone.id).enabled
    assert {delivery.state for delivery in store.deliveries(gone.id)} == {DeliveryState.FAILED}
    assert store.webhook(other.id).enabled
    assert {delivery.state for delivery in store.deliveries(other.id)} == {DeliveryState.PENDING}
    store.change_webhook(gone.id, {"enabled": True})
    complete(store)
    assert store.deliveries(gone.id)[0].state is DeliveryState.PENDING


def test_disabling_gives_up_what_waits(store: Store) -> None:
    webhook = hook(store)
    complete(store)
    store.change_webhook(webhook.id, {"description": "still on"})
    assert store.deliveries(webhook.id)[0].state is DeliveryState.PENDING
    store.change_webhook(webhook.id, {"enabled": False})
    assert store.deliveries(webhook.id)[0].state is DeliveryState.FAILED


def test_a_deleted_webhook_takes_its_deliveries_along(store: Store, database_url: str) -> None:
    webhook = hook(store)
    complete(store)
    due = claim_one(store)
    store.delete_webhook(webhook.id)
    assert not store.settle_delivery(due, FINE)
    assert rows(database_url) == 0


def test_a_test_says_nothing_of_a_job(store: Store) -> None:
    webhook = hook(store, enabled=False)
    sent = store.test_webhook(webhook.id)
    assert (sent.event, json.loads(sent.body)["data"]) == ("webhook.test", {"webhook_id": webhook.id})
    assert claim_one(store).id == sent.id


def test_deliveries_are_listed_newest_first_a_page_at_a_time(store: Store) -> None:
    webhook = hook(store)
    for _ in range(5):
        store.test_webhook(webhook.id)
    everything = store.deliveries(webhook.id)
    assert [one.seq for one in everything] == sorted((one.seq for one in everything), reverse=True)
    page = store.deliveries(webhook.id, limit=2)
    assert [*page, *store.deliveries(webhook.id, before=page[-1].seq)] == everything


def test_the_log_is_kept_for_a_month(clock_and_store: tuple[TurnedClock, Store]) -> None:
    clock, store = clock_and_store
    webhook = hook(store)
    for _ in range(2):
        store.test_webhook(webhook.id)
        store.settle_delivery(claim_one(store), FINE)
        clock.turn(KEPT_S * 0.75)
    store.test_webhook(webhook.id)
    store.settle_delivery(claim_one(store), FINE)
    assert len(store.deliveries(webhook.id)) == 2


def test_servers_that_race_send_each_message_once(database_url: str) -> None:
    n_messages, n_servers = 60, 4
    with Store.open(database_url) as store:
        webhook = hook(store)
        for _ in range(n_messages):
            store.test_webhook(webhook.id)
    at_once = threading.Barrier(n_servers)

    def serve(_: int) -> list[str]:
        taken = []
        with Store.open(database_url) as store:
            at_once.wait()
            while due := store.claim_deliveries(7, 60.0):
                for item in due:
                    assert store.settle_delivery(item.delivery, FINE)
                    taken.append(item.delivery.id)
        return taken

    with ThreadPoolExecutor(n_servers) as servers:
        taken = [one for some in servers.map(serve, range(n_servers)) for one in some]
    assert len(taken) == len(set(taken)) == n_messages


def test_a_webhook_that_is_deleted_meanwhile_makes_no_end_fail(database_url: str) -> None:
    """On PostgreSQL the row of a webhook could go between the look at it and the reference to it."""
    with Store.open(database_url) as store, Store.open(database_url) as other:
        webhooks = [hook(store) for _ in range(20)]
        jobs = [queue(store) for _ in range(20)]
        with ThreadPoolExecutor(2) as pool:
            deleting = pool.map(other.delete_webhook, [webhook.id for webhook in webhooks])
            ending = pool.map(store.cancel, [job.id for job in jobs])
            assert len([*deleting, *ending]) == len(webhooks) + len(jobs)
        assert store.webhooks() == []
        assert rows(database_url) == 0
