"""A server that is killed between the end of a job and the answer of the receiver loses no message."""

import signal
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from service.client import Client
from service.store import DeliveryState, Store
from tests.service.filling import landscape_spec
from tests.service.processes import answers, environment, free_port, running, until
from tests.service.webhooks.receivers import Message, receiving, status

pytestmark = [pytest.mark.slow, pytest.mark.long]


def _keeps_waiting(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.rfile.read(1)  # until the sender is gone


@pytest.mark.parametrize("backend", ["sqlite"])  # what becomes of a lease is tested on both databases
def test_a_server_that_is_killed_while_it_sends_loses_no_message(own_database_url: str, tmp_path: Path) -> None:
    port, data_dir = free_port(), tmp_path / "data"
    url, serve = f"http://127.0.0.1:{port}", ("serve", "--port", str(port), "--no-dispatcher")
    with receiving(_keeps_waiting, status(200)) as receiver:
        env = environment(data_dir, RHOBUST_DATABASE_URL=own_database_url, RHOBUST_WEBHOOK_ALLOW=receiver.origin)
        with running(*serve, env=env, log=tmp_path / "first.log") as first:
            until(lambda: answers(url), "the first server is ready")
            with Client(url) as client:
                webhook = client.webhooks.add(receiver.origin)
                job = client.submit(landscape_spec())
                job.cancel()
            until(lambda: len(receiver.messages) == 1, "the message is on its way")
            first.send_signal(signal.SIGKILL)
            first.wait()
        with Store.open(own_database_url) as store:
            assert [one.state for one in store.deliveries(webhook.id)] == [DeliveryState.PENDING]
            with running(*serve, env=env, log=tmp_path / "second.log") as second:
                settled = DeliveryState.DELIVERED
                until(lambda: store.deliveries(webhook.id)[0].state is settled, "the second server sends it")
                assert httpx.get(f"{url}/readyz").is_success
                second.send_signal(signal.SIGTERM)
                assert second.wait(30) == 0, "it ends in order"
            (delivery,) = store.deliveries(webhook.id)
    assert [(one["attempt"], one["status"]) for one in delivery.attempts] == [(2, 200)]
    lost, repeated = receiver.messages
    assert lost.headers["webhook-id"] == repeated.headers["webhook-id"] == delivery.id
    assert lost.body == repeated.body
    text = (tmp_path / "first.log").read_text() + (tmp_path / "second.log").read_text()
    assert "Traceback" not in text
    assert str(webhook.secret) not in text
