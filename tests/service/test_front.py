"""How a server is reached, and that forwarded headers are believed from a named proxy alone."""

import asyncio

import httpx
import pytest

from service.keys import Scope, new_key
from service.serve import Front, require_key, server_config
from service.settings import Settings
from service.store import Store
from service.web.app import create_app

FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}


@pytest.fixture
def backend() -> str:
    """One database is enough here."""
    return "sqlite"


def ask(store: Store, front: Front, came_from: str, headers: dict[str, str]) -> httpx.Response:
    """Return what a server answers to a request for the page to sign in that came from an address."""
    settings = Settings(allowed_hosts=("bench.example",))
    config = server_config(create_app(store, settings, hosts=settings.allowed_hosts, is_exposed=True), front)
    config.load()
    transport = httpx.ASGITransport(app=config.loaded_app, client=(came_from, 1))

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://bench.example") as client:
            return await client.get("/sign-in", headers=headers)

    return asyncio.run(get())


@pytest.mark.parametrize(
    ("proxies", "came_from", "is_believed"),
    [
        (None, "127.0.0.1", False),
        ("10.0.0.1", "127.0.0.1", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/24,192.0.2.7", "192.0.2.7", True),
        ("10.0.0.0/24,192.0.2.7", "10.0.1.1", False),
    ],
)
def test_forwarded_headers_come_from_a_named_proxy(
    store: Store, proxies: str | None, came_from: str, is_believed: bool
) -> None:
    answer = ask(store, Front(host="127.0.0.1", proxies=proxies), came_from, FORWARDED)
    assert answer.status_code == 200
    assert ("Strict-Transport-Security" in answer.headers) == is_believed


def test_a_server_is_exposed_by_address_proxy_or_name() -> None:
    named, plain = Settings(allowed_hosts=("bench.example",)), Settings(allowed_hosts=("localhost", "::1"))
    assert Front(host="localhost").exposure(plain) is None
    assert Front(host="127.0.0.2").exposure(plain) is None
    assert Front(host="example.test").exposure(plain) == "--host example.test"
    assert Front(host="::1", proxies="10.0.0.1").exposure(plain) == "--proxy 10.0.0.1"
    assert Front(host="::1").exposure(named) == "RHOBUST_ALLOWED_HOSTS=bench.example"


def test_a_key_that_only_reads_is_enough_to_be_reached(store: Store) -> None:
    store.add_key(new_key(), "reads", Scope.READ)
    require_key(store, Settings(), Front(host="0.0.0.0"))  # noqa: S104  (it is only asked for)
