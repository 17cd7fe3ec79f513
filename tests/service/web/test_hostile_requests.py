"""Requests that no client of ours sends: each is refused in time by a problem document, and stores nothing."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.store import Store
from service.web.guard import HEADERS, MAX_BODY_BYTES
from tests.service.conftest import BACKENDS
from tests.service.filling import small_spec

pytestmark = pytest.mark.slow
JOBS, KEYS, WEBHOOKS = "/api/v1/jobs", "/api/v1/keys", "/api/v1/webhooks"
JSON = {"Content-Type": "application/json"}
MEGABYTES_20 = 20 * 1024**2
ALLOWED_S = 5.0


@pytest.fixture
def quick(web: httpx.Client) -> Iterator[httpx.Client]:
    """The client, which fails when an answer takes long."""
    began = time.monotonic()
    yield web
    assert time.monotonic() - began < ALLOWED_S


def refused(response: httpx.Response, *statuses: int) -> None:
    assert response.status_code in (statuses or (400, 422)), response.text[:500]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert len(response.content) < 100_000
    for name, value in HEADERS.items():
        assert response.headers[name] == value


def in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 64 * 1024):
        yield content[start : start + 64 * 1024]


@pytest.mark.parametrize("path", [JOBS, f"{JOBS}/x/retry", f"{JOBS}/x/extend", KEYS, WEBHOOKS, "/session"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_20_megabytes(quick: httpx.Client, store: Store, path: str, chunked: bool) -> None:
    content = b'{"a":"' + b"x" * MEGABYTES_20 + b'"}'
    refused(quick.post(path, content=in_pieces(content) if chunked else content, headers=JSON), 413)
    assert store.jobs() == []


def test_a_body_where_none_belongs(quick: httpx.Client) -> None:
    refused(quick.request("GET", JOBS, content=b"x" * (MAX_BODY_BYTES + 1)), 413)
    refused(quick.request("DELETE", f"{JOBS}/x", content=in_pieces(b"x" * 100)), 415)


NESTED = 150_000
BODIES = {
    "nested lists": "[" * NESTED + "]" * NESTED,
    "lists that do not end": "[" * (6 * NESTED),
    "nested mappings": '{"a":' * NESTED + "1" + "}" * NESTED,
    "a number of a million digits": '{"label": ' + "9" * 1_000_000 + "}",
    "yaml": "- a\n" * 250_000,
    "a list of yaml": "[" + "a," * 500_000 + "]",
    "no text": b"\xff\xfe\x00",
    "a surrogate in utf-8": b'{"name": "\xed\xa0\x80"}',
    "a key twice": '{"name": "a", "name": "b"}',
    "nothing": "",
    "a list": "[]",
    "null": "null",
    "not a number": "NaN",
}


@pytest.mark.parametrize("path", [JOBS, KEYS, WEBHOOKS, "/session"])
@pytest.mark.parametrize("content", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_document(quick: httpx.Client, store: Store, path: str, content: str | bytes) -> None:
    refused(quick.post(path, content=content, headers=JSON))
    assert (store.jobs(), store.api_keys(), store.webhooks(10)) == ([], [], [])


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None]
)
def test_what_a_form_of_another_site_can_send(web: httpx.Client, store: Store, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    refused(web.post(JOBS, content=json.dumps(small_spec()), headers=headers), 415)
    assert store.jobs() == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "token",
    ["-1", "9" * 30, "1e3", "0x10", "\x00", "' OR 1=1 --", "\ud7ff", "\u0661", "a" * 5_000, "%00", "[]", "null"],
)
def test_a_token_of_no_page(web: httpx.Client, token: str) -> None:
    for path in (JOBS, WEBHOOKS, f"{WEBHOOKS}/x/deliveries", f"{JOBS}/x/records"):
        refused(web.get(path, params={"page_token": token}), 422)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", ["-1", "NaN", "1e400", str(2**63), "9" * 400])
def test_numbers_of_keys_and_webhooks(web: httpx.Client, store: Store, number: str) -> None:
    refused(web.post(KEYS, content='{"label": "x", "expires_in_s": ' + number + "}", headers=JSON))
    for path in (JOBS, WEBHOOKS):
        refused(web.get(path, params={"page_size": number}), 422)
    refused(web.get(f"{JOBS}/x/logs", params={"tail": number}), 422)
    assert store.api_keys() == []


@pytest.mark.parametrize("text", ['"a\\u0000b"', '"\\ud800"', '"' + "x" * 201 + '"', "5", "[]", '"\\u001b[31m"'])
def test_texts_that_cannot_be_kept(web: httpx.Client, store: Store, text: str) -> None:
    refused(web.post(KEYS, content=f'{{"label": {text}}}', headers=JSON))
    refused(web.post(WEBHOOKS, content=f'{{"url": {text}}}', headers=JSON))
    refused(web.post("/session", content=f'{{"key": {text}}}', headers=JSON), 401, 422)
    assert store.api_keys() == []


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../settings.py",
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static/....//settings.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/..%5csettings.py",
        "/assets/../static/style.css",
        f"{JOBS}/../../../etc/passwd",
        f"{JOBS}/..%2f..%2fetc%2fpasswd/logs",
        f"{JOBS}/..%00/logs",
        f"{JOBS}/%2e%2e/logs",
        f"{JOBS}/x/figures/..%2f..%2fetc%2fpasswd",
        f"{JOBS}/x/figures/%2e%2e",
        f"{JOBS}/x/figures/heatmap%00",
        "/api/v1/records/..%2f..%2fetc%2fpasswd",
        "/jobs/..%2f..%2fetc%2fpasswd",
        "/" + "a/" * 20_000,
        "/" + "%41" * 15_000,
    ],
)
def test_no_path_leads_out(web: httpx.Client, path: str) -> None:
    """The path goes out as it stands: a client of ours would have tidied it."""
    answer = spoken(web, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int(answer.split(b" ", 2)[1])
    assert status in (404, 422), answer[:300]
    assert b"root:" not in answer
    assert b"RHOBUST_" not in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.0\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: evil.example:80@localhost\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: \r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * 2_000_000 + "\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "X: x\r\n" * 400_000, 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\n", 200),
        ("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + "9" * 5_000 + "\r\n", 400),
        ("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + "9" * 19 + "\r\n", 413),
        ("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n", 400),
        ("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n", 400),
        ("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n", 400),
        ("GET /healthz\r\nX: y HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", 200),
    ],
    ids=range(18),
)
def test_a_head_that_no_browser_sends(web: httpx.Client, head: str, status: int) -> None:
    answer = spoken(web, f"{head}Connection: close\r\n\r\n".encode("latin-1"))
    # a refusal may be lost where the server closes before all was sent
    is_lost = status == 400 and answer == b""
    assert is_lost or answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert b"evil" not in answer.partition(b"\r\n\r\n")[0], "no header repeats it"


def spoken(web: httpx.Client, request: bytes) -> bytes:
    """Return what a server answers to these bytes."""
    with socket.create_connection((web.base_url.host, web.base_url.port), 10) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionError:
            pass  # it does not read what it has refused
    return answer


@pytest.mark.parametrize("value", ["x" * 30_000, "\x7f", "é", "a\tb"])
def test_odd_headers_are_no_fault(web: httpx.Client, value: str) -> None:
    headers: dict[str, Any] = {
        name: value.encode("utf-8")
        for name in ("Authorization", "Cookie", "User-Agent", "Accept", "X-CSRF-Token", "X-Request-ID", "If-None-Match")
    }
    for one in headers:
        assert web.get(JOBS, headers={one: headers[one]}).status_code < 500
        assert web.get("/", headers={one: headers[one]}).status_code < 500
