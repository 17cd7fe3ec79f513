"""The worker: repeats until a message is delivered, stops in order, and says little in its log."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler

import pytest

from service.states import JobState
from service.store import Delivery, DeliveryState, NewWebhook, Store, UnavailableError, Webhook
from service.webhooks import delivering as module
from service.webhooks.delivering import delivering
from service.webhooks.signing import new_secret, signed_headers
from service.webhooks.targets import AllowList
from tests.service.processes import free_port
from tests.service.store.samples import queue
from tests.service.webhooks.receivers import Message, Receiver, receiving, status

pytestmark = pytest.mark.slow
FAST_S = (0.05, 0.05)
POLL_S = 0.02
DEADLINE_S = 30.0


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases."""
    return "sqlite"


def hook(store: Store, url: str) -> Webhook:
    new = NewWebhook(url=url, secret=new_secret(), events=("job.cancelled",))
    return store.create_webhook(new)[0]


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def worker(store: Store, *origins: str) -> AsyncIterator[None]:
    async with delivering(store, AllowList.parse(",".join(origins)), delays_s=FAST_S, poll_s=POLL_S):
        yield


def delivered(store: Store, webhook: Webhook, *, origins: tuple[str, ...]) -> Delivery:
    """Let a worker send until the newest message of a webhook is settled, and return that."""

    async def run() -> None:
        async with worker(store, *origins):
            await until(lambda: store.deliveries(webhook.id)[0].state is not DeliveryState.PENDING, "it is settled")

    asyncio.run(run())
    return store.deliveries(webhook.id)[0]


def seen(delivery: Delivery) -> list[tuple[int | None, str | None]]:
    return [(entry["status"], entry["error"]) for entry in delivery.attempts]


def test_the_end_of_a_job_is_told_in_a_message_that_can_be_verified(store: Store) -> None:
    with receiving(status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        job = store.cancel(queue(store).id)
        delivery = delivered(store, webhook, origins=(receiver.origin,))
    (message,) = receiver.messages
    told = json.loads(message.body)
    assert (told["type"], told["data"]["id"], told["data"]["state"]) == ("job.cancelled", job.id, JobState.CANCELLED)
    assert message.headers["webhook-id"] == delivery.id
    timestamp = int(message.headers["webhook-timestamp"])
    expected = signed_headers(webhook.secret, delivery.id, timestamp, message.body)
    assert message.headers["webhook-signature"] == expected["webhook-signature"]
    assert seen(delivery) == [(200, None)]


def test_a_message_links_to_the_page_of_what_it_tells(store: Store) -> None:
    async def run(origin: str, webhook: Webhook) -> None:
        async with delivering(store, AllowList.parse(origin), public_url="https://rhobust.example.org", poll_s=POLL_S):
            await until(lambda: store.deliveries(webhook.id)[0].state is DeliveryState.DELIVERED, "it is delivered")

    with receiving(status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        job = store.cancel(queue(store).id)
        asyncio.run(run(receiver.origin, webhook))
    (message,) = receiver.messages
    assert json.loads(message.body)["link"] == f"https://rhobust.example.org/jobs/{job.id}"
    timestamp = int(message.headers["webhook-timestamp"])
    expected = signed_headers(webhook.secret, message.headers["webhook-id"], timestamp, message.body)
    assert message.headers["webhook-signature"] == expected["webhook-signature"], "what is sent is signed"


def test_a_receiver_that_recovers_gets_the_same_message(store: Store) -> None:
    with receiving(status(500), status(503), status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        delivery = delivered(store, webhook, origins=(receiver.origin,))
    assert seen(delivery) == [(500, "status"), (503, "status"), (200, None)]
    assert len({message.headers["webhook-id"] for message in receiver.messages}) == 1
    assert len({message.body for message in receiver.messages}) == 1


def test_a_message_that_nobody_takes_is_given_up(store: Store) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    webhook = hook(store, origin)
    store.test_webhook(webhook.id)
    delivery = delivered(store, webhook, origins=(origin,))
    assert (delivery.state, seen(delivery)) == (DeliveryState.FAILED, [(None, "unreachable")] * 3)


def test_a_receiver_that_is_gone_is_left_alone(store: Store) -> None:
    with receiving(status(410)) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        delivery = delivered(store, webhook, origins=(receiver.origin,))
    assert (delivery.state, seen(delivery)) == (DeliveryState.FAILED, [(410, "status")])
    assert not store.webhook(webhook.id).enabled


def test_what_the_operator_does_not_allow_any_more_is_not_sent(store: Store) -> None:
    with receiving(status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        delivery = delivered(store, webhook, origins=("other.example",))
    assert seen(delivery) == [(None, "refused")] * 3
    assert receiver.messages == []


def test_nothing_is_sent_where_nothing_is_allowed(store: Store) -> None:
    async def run() -> None:
        async with worker(store):
            await asyncio.sleep(5 * POLL_S)

    with receiving(status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        asyncio.run(run())
    assert receiver.messages == []
    assert store.deliveries(webhook.id)[0].state is DeliveryState.PENDING


def test_a_stop_lets_the_attempt_in_flight_finish_and_begins_no_other(store: Store) -> None:
    def slow(handler: BaseHTTPRequestHandler, message: Message) -> None:
        time.sleep(0.5)
        status(200)(handler, message)

    async def run(receiver: Receiver) -> None:
        async with worker(store, receiver.origin):
            await until(lambda: len(receiver.messages) == 1, "it is being sent")
            store.test_webhook(webhook.id)

    with receiving(slow) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        asyncio.run(run(receiver))
    second, first = store.deliveries(webhook.id)
    assert (first.state, seen(first)) == (DeliveryState.DELIVERED, [(200, None)])
    assert (second.state, second.n_attempts) == (DeliveryState.PENDING, 0)


@pytest.mark.parametrize("fault", [UnavailableError("the database is away."), RuntimeError("a fault of ours")])
def test_a_database_that_is_away_for_a_while_is_said_once_and_stops_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    real = store.claim_deliveries
    calls = []

    def claim(limit: int, lease_s: float) -> object:
        calls.append(limit)
        if len(calls) < 4:
            raise fault
        return real(limit, lease_s)

    monkeypatch.setattr(store, "claim_deliveries", claim)
    with receiving(status(200)) as receiver:
        webhook = hook(store, receiver.origin)
        store.test_webhook(webhook.id)
        assert seen(delivered(store, webhook, origins=(receiver.origin,))) == [(200, None)]
    assert caplog.text.count(f"no webhook is told anything until this is over: {fault}") == 1
    assert ("Traceback" in caplog.text) == isinstance(fault, RuntimeError)


def test_a_fault_of_ours_stops_neither_the_worker_nor_another_message(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(status(200)) as receiver:
        broken, fine = hook(store, receiver.origin), hook(store, receiver.origin)
        bad = store.test_webhook(broken.id)
        store.test_webhook(fine.id)
        real = store.settle_delivery

        def settle(due: Delivery, *arguments: object, **options: object) -> bool:
            if due.id == bad.id:
                raise RuntimeError("a fault of ours")
            return real(due, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "settle_delivery", settle)
        assert seen(delivered(store, fine, origins=(receiver.origin,))) == [(200, None)]
    assert f"delivery {bad.id} is tried again: a fault of ours" in caplog.text


def test_a_fault_of_ours_while_sending_counts_as_an_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def send(*_: object) -> object:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(module, "send", send)
    webhook = hook(store, "http://127.0.0.1:9")
    store.test_webhook(webhook.id)
    delivery = delivered(store, webhook, origins=("http://127.0.0.1:9",))
    assert (delivery.state, seen(delivery)) == (DeliveryState.FAILED, [(None, "fault")] * 3)
    assert f"delivery {delivery.id}: a fault of ours" in caplog.text


def test_no_log_has_a_secret_or_what_follows_the_host(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(status(500)) as receiver:
        webhook = hook(store, f"{receiver.origin}/services/T0KEN?key=T0KEN")
        store.test_webhook(webhook.id)
        delivered(store, webhook, origins=(receiver.origin,))
    assert f"to webhook {webhook.id}: status 500 at attempt 1, sent again in 0 s" in caplog.text
    assert "given up" in caplog.text
    assert "T0KEN" not in caplog.text
    assert webhook.secret not in caplog.text
    assert webhook.secret.removeprefix("whsec_") not in caplog.text
