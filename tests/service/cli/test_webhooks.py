"""Commands on webhooks, and the client under them, against a server that delivers."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from service.client import Client, ClientError, NotFoundError, ProblemError
from service.settings import Settings
from service.store import Store
from service.web.state import AppState
from service.webhooks.delivering import delivering
from service.webhooks.targets import AllowList
from tests.service.cli.conftest import Cli
from tests.service.processes import free_port
from tests.service.store.samples import queue
from tests.service.webhooks.receivers import Receiver, receiving, status

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(status(200)) as opened:
        yield opened


@pytest.fixture
def nobody() -> str:
    """An origin that is permitted, and where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def url(url: str, shared_app: tuple[FastAPI, str], store: Store, receiver: Receiver, nobody: str) -> Iterator[str]:
    """URL of a server with a worker, which may send to the receiver."""
    allowed = AllowList.parse(f"hooks.example.com,{receiver.origin},{nobody}")
    shared_app[0].state.rhobust = AppState(store, Settings(webhook_allow=allowed))
    loop, stopping = asyncio.new_event_loop(), asyncio.Event()

    async def deliver() -> None:
        async with delivering(store, allowed, poll_s=0.02):
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(deliver(),))
    thread.start()
    yield url
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()


def test_the_life_of_a_webhook(cli: Cli, url: str, store: Store, receiver: Receiver) -> None:
    added = cli("webhooks", "add", receiver.origin, "--event", "job.cancelled", "--description", "mine")
    (webhook,) = store.webhooks()
    assert (added.code, added.out) == (0, f"{webhook.secret}\n")
    assert webhook.id in added.err
    assert (webhook.events, webhook.description) == (("job.cancelled",), "mine")

    listed = cli("webhooks", "ls")
    assert webhook.id in listed.out
    assert "job.cancelled" in listed.out
    as_json = cli("webhooks", "ls", "-o", "json")
    assert json.loads(as_json.out)[0]["url"] == receiver.origin
    as_csv = cli("webhooks", "ls", "-o", "csv")
    assert as_csv.out.startswith(f"id,url,events,enabled,description,created\n{webhook.id},{receiver.origin},")
    assert "whsec_" not in listed.out + as_json.out + as_csv.out

    tested = cli("webhooks", "test", webhook.id)
    assert (tested.code, tested.err) == (0, "delivered: 200\n")
    assert receiver.messages[0].headers["webhook-id"].startswith("msg_")

    store.cancel(queue(store).id)
    events = [one["event"] for one in json.loads(cli("webhooks", "deliveries", webhook.id, "-o", "json").out)]
    assert events == ["job.cancelled", "webhook.test"]
    assert "| webhook.test | delivered |" in cli("webhooks", "deliveries", webhook.id, "-o", "md").out
    assert "webhook.test" not in cli("webhooks", "deliveries", webhook.id, "-n", 1).out

    assert cli("webhooks", "rm", webhook.id).code == 0
    assert store.webhooks() == []
    gone = cli("webhooks", "test", webhook.id)
    assert (gone.code, gone.out) == (2, "")
    assert f"there is no webhook '{webhook.id}'" in gone.err


def test_a_test_that_does_not_arrive_is_an_exit_code(cli: Cli, url: str, store: Store, nobody: str) -> None:
    cli("webhooks", "add", nobody)
    tested = cli("webhooks", "test", store.webhooks()[0].id)
    assert (tested.code, tested.err) == (3, "not delivered: unreachable\n")


def test_what_the_operator_does_not_permit_is_said(cli: Cli, url: str) -> None:
    refused = cli("webhooks", "add", "https://evil.example/")
    assert (refused.code, refused.out) == (2, "")
    assert "no entry of RHOBUST_WEBHOOK_ALLOW permits https://evil.example:443" in refused.err


def test_the_client_has_typed_answers(url: str) -> None:
    target = "https://hooks.example.com/a"
    with Client(url) as client:
        webhook = client.webhooks.add(target, events=["job.failed"])
        assert webhook.secret
        assert webhook.secret not in repr(webhook)
        assert client.webhooks.get(webhook.id) == webhook.model_copy(update={"secret": None})
        changed = client.webhooks.change(webhook.id, enabled=False, description="off")
        assert (changed.enabled, changed.description, changed.events) == (False, "off", ("job.failed",))
        assert [one.id for one in client.webhooks.list()] == [webhook.id]
        assert list(client.webhooks.list().to_pandas()["url"]) == [target]
        assert client.webhooks.deliveries(webhook.id).to_pandas().empty
        client.webhooks.remove(webhook.id)
        with pytest.raises(NotFoundError, match="there is no webhook"):
            client.webhooks.get(webhook.id)
        with pytest.raises(ProblemError, match="/body/url: no entry of RHOBUST_WEBHOOK_ALLOW"):
            client.webhooks.add("https://evil.example/")
        with pytest.raises(ClientError, match="the id of a webhook must not be empty"):
            client.webhooks.remove("")
