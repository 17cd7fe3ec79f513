"""One attempt against real receivers: what they get, and how little of what they say is told."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from service.webhooks.sending import Answer, send
from service.webhooks.signing import new_secret, signed_headers
from service.webhooks.targets import AllowList
from tests.service.processes import free_port
from tests.service.webhooks.receivers import CERTIFICATES, Message, Reply, receiving, status

pytestmark = pytest.mark.slow
SECRET = new_secret()
BODY = b'{"type":"webhook.test"}'


def attempt(
    url: str, allowed: str = "", *, timeout_s: float = 5.0, context: ssl.SSLContext | None = None, body: bytes = BODY
) -> Answer:
    """Send a message to a URL; by default its own origin is all that is allowed."""
    target = AllowList.parse(allowed or "/".join(url.split("/")[:3])).target(url)
    context = context or ssl.create_default_context()
    return asyncio.run(send(target, SECRET, "msg_1", body, context, timeout_s=timeout_s))


def outcome(answer: Answer) -> tuple[int | None, str | None]:
    return answer.attempt.status, answer.attempt.error


def test_a_receiver_gets_a_message_that_it_can_verify() -> None:
    with receiving(status(204)) as receiver:
        before = int(time.time())
        answer = attempt(f"{receiver.origin}/hook?channel=1")
    assert outcome(answer) == (204, None)
    assert 0 < answer.attempt.elapsed_s < 5
    (message,) = receiver.messages
    assert (message.path, message.body) == ("/hook?channel=1", BODY)
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("rhobust/")
    timestamp = int(message.headers["webhook-timestamp"])
    assert before <= timestamp <= time.time()
    for name, value in signed_headers(SECRET, "msg_1", timestamp, BODY).items():
        assert message.headers[name] == value


@pytest.mark.parametrize(
    ("reply", "expected", "retry_after_s"),
    [
        (status(200), (200, None), None),
        (status(299), (299, None), None),
        (status(404), (404, "status"), None),
        (status(410), (410, "status"), None),
        (status(500), (500, "status"), None),
        (status(503, Retry_After="120"), (503, "status"), 120.0),
        (status(429, Retry_After="nonsense"), (429, "status"), None),
    ],
)
def test_only_the_status_and_the_wish_of_an_answer_are_told(
    reply: Reply, expected: tuple[int, str | None], retry_after_s: float | None
) -> None:
    with receiving(reply) as receiver:
        answer = attempt(receiver.origin)
    assert outcome(answer) == expected
    assert answer.retry_after_s == retry_after_s
    assert answer.is_gone == (expected[0] == 410)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    with receiving(status(200)) as elsewhere, receiving(status(code, Location=elsewhere.origin)) as receiver:
        answer = attempt(receiver.origin, f"{receiver.origin},{elsewhere.origin}")
    assert outcome(answer) == (code, "status")
    assert elsewhere.messages == []


def _drips_its_head(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Drip: drop\r\n")
        handler.wfile.flush()
        time.sleep(0.02)


def _says_nothing(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.rfile.read(1)


def _drips_its_body(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


def _speaks_no_http(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


def _hangs_up(handler: BaseHTTPRequestHandler, message: Message) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (_drips_its_head, (None, "timeout")),
        (_says_nothing, (None, "timeout")),
        (_drips_its_body, (200, None)),
        (_speaks_no_http, (None, "broken")),
        (_hangs_up, (None, "broken")),
    ],
)
def test_no_receiver_holds_a_sender_up(reply: Reply, expected: tuple[int | None, str | None]) -> None:
    with receiving(reply) as receiver:
        started = time.monotonic()
        assert outcome(attempt(receiver.origin, timeout_s=1.0)) == expected
        assert time.monotonic() - started < 4


def test_who_is_not_there_is_unreachable() -> None:
    assert outcome(attempt(f"http://127.0.0.1:{free_port()}")) == (None, "unreachable")


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to these addresses, and return the list of names that are looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("93.184.215.14", "127.0.0.1"), ("127.0.0.1", "93.184.215.14"), ("10.0.0.1",)]
)
def test_a_name_that_leads_to_one_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    named(monkeypatch, *addresses)
    assert outcome(attempt("https://hooks.example.com/", "hooks.example.com")) == (None, "refused")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "0", "localhost."]
)
def test_another_way_to_write_loopback_is_refused(host: str) -> None:
    """To the allow-list these are names; the system's look-up takes them for addresses."""
    assert outcome(attempt(f"https://{host}/", "*")) == (None, "refused")


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "fe80::1", "64:ff9b::7f00:1", "169.254.169.254", "0.0.0.0"])  # noqa: S104
def test_an_address_that_hides_another_is_refused_even_of_an_origin_that_is_trusted(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    named(monkeypatch, address)
    assert outcome(attempt("https://hooks.example.com:8443/")) == (None, "refused")


def test_a_name_is_looked_up_once_and_the_first_of_its_addresses_that_answers_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = named(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens on the first one
    with receiving(status(200)) as receiver:
        answer = attempt(f"http://receiver.example:{receiver.port}/hook")
    assert outcome(answer) == (200, None)
    assert asked == ["receiver.example"]
    assert receiver.messages[0].headers["host"] == f"receiver.example:{receiver.port}"


@pytest.mark.parametrize("fault", [socket.gaierror("no such name"), OSError("no resolver"), UnicodeError("too long")])
def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def look_up(*_: Any, **__: Any) -> list[Any]:
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert outcome(attempt("https://hooks.example.com/", "hooks.example.com")) == (None, "unresolved")


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> list[Any]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert outcome(attempt("https://hooks.example.com/", "hooks.example.com", timeout_s=0.1)) == (None, "timeout")


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(status(500)) as proxy, receiving(status(200)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        assert outcome(attempt(receiver.origin)) == (200, None)
        assert proxy.messages == []


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


@pytest.mark.parametrize(
    ("host", "context", "expected"),
    [
        ("localhost", _trusting, (200, None)),
        ("localhost", ssl.create_default_context, (None, "tls")),  # nobody knows its authority
        ("127.0.0.1", _trusting, (None, "tls")),  # its certificate is of another name
    ],
)
def test_https_is_to_the_name_and_not_to_the_address(
    host: str, context: Callable[[], ssl.SSLContext], expected: tuple[int | None, str | None]
) -> None:
    with receiving(status(200), tls=True) as receiver:
        answer = attempt(f"https://{host}:{receiver.port}/hook", context=context())
    assert outcome(answer) == expected
    assert len(receiver.messages) == (expected[0] is not None)
    if expected[0]:
        assert receiver.names == ["localhost"]
        assert receiver.messages[0].headers["host"] == f"localhost:{receiver.port}"


def test_the_operators_authority_is_known_by_ssl_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    with receiving(status(200), tls=True) as receiver:
        assert outcome(attempt(f"https://localhost:{receiver.port}/")) == (200, None)


def test_https_to_who_speaks_http_is_broken_and_ends() -> None:
    with receiving(status(200)) as receiver:
        assert outcome(attempt(f"https://127.0.0.1:{receiver.port}/", timeout_s=2.0))[1] in ("tls", "timeout")
