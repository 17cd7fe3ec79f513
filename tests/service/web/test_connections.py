"""Nobody holds a connection for nothing: against whoever says nothing, little, or does not listen."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.store import Store
from service.web import connections, logs
from tests.service.filling import submit
from tests.service.processes import until

DEADLINE_S = 20.0
CLIENT_IDLE_S = 5.0  # httpx keeps a connection for so long
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for little."""
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    monkeypatch.setattr(connections, "READ_S", 0.3)


@pytest.fixture
def connect(web: httpx.Client) -> Iterator[Callable[[], socket.socket]]:
    """What makes connections on which anything can be said."""
    with contextlib.ExitStack() as stack:

        def connected() -> socket.socket:
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(DEADLINE_S)
            connection.connect((web.base_url.host, web.base_url.port))
            return connection

        yield connected


@pytest.fixture
def raw(connect: Callable[[], socket.socket]) -> socket.socket:
    """A connection on which anything can be said."""
    return connect()


def health(connection: socket.socket) -> bytes:
    """Ask how the server is and return the line of the answer; nothing where the connection is closed."""
    connection.sendall(HEALTH)
    found = b""
    while not found.endswith(b"}") and (piece := connection.recv(65_536)):
        found += piece
    return found.split(b"\r\n")[0]


def heard(raw: socket.socket) -> bytes:
    """Return all that comes until the other side ends it; fails when it never does."""
    found = b""
    try:
        while piece := raw.recv(65_536):
            found += piece
    except ConnectionError:
        pass
    return found


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: loc", b""),
        (HEAD + b"100\r\n\r\n{", b""),
        (HEAD + b"100000000\r\n\r\n{", b"HTTP/1.1 413"),
        (HEALTH + b"GET", b"HTTP/1.1 200"),
    ],
    ids=["nothing", "half a head", "half a body", "a body that was refused", "half of the next"],
)
def test_a_request_that_does_not_come_is_not_waited_for(raw: socket.socket, said: bytes, answer: bytes) -> None:
    raw.sendall(said)
    assert heard(raw)[: len(answer) or None] == answer


def test_a_letter_now_and_then_does_not_count(raw: socket.socket) -> None:
    def is_closed() -> bool:
        try:
            raw.sendall(b"x")
        except ConnectionError:
            return True
        return False

    until(is_closed, "the server closes it", DEADLINE_S)


def test_an_answer_that_nobody_reads_is_given_up(raw: socket.socket) -> None:
    # as many as the kernel's buffers do not hold
    raw.sendall(b"GET /assets/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
    time.sleep(1.0)  # not to read is to let time pass
    assert len(heard(raw)) < 4 * 4_000_000


def test_an_answer_that_goes_on_is_not_cut(web: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FOLLOW_POLL_S", 0.02)
    job = submit(store)
    with web.stream("GET", f"/api/v1/jobs/{job.id}/logs", params={"follow": True}) as response:
        time.sleep(0.8)
        store.cancel(job.id)
        assert "has no log" in response.read().decode()
    time.sleep(0.5)
    assert web.get("/healthz").status_code == 200


def test_between_two_requests_a_connection_is_kept_for_longer_than_a_client_keeps_it(raw: socket.socket) -> None:
    assert health(raw) == b"HTTP/1.1 200 OK"
    time.sleep(CLIENT_IDLE_S + 1.0)  # not to ask is to let time pass
    assert health(raw) == b"HTTP/1.1 200 OK"


def test_but_not_for_ever(connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.1)
    raw = connect()
    assert health(raw) == b"HTTP/1.1 200 OK"
    assert heard(raw) == b""


def test_in_a_crowd_the_one_that_was_idle_the_longest_makes_room(
    web: httpx.Client, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", DEADLINE_S)
    monkeypatch.setattr(connections, "CROWD", 3)
    web.close()
    first, second, third = connect(), connect(), connect()
    for one in (second, first, third):
        assert health(one) == b"HTTP/1.1 200 OK"
    busy = connect()  # the fourth
    assert heard(second) == b""
    busy.sendall(HEALTH[:5])
    last = connect()
    assert heard(first) == b""
    busy.sendall(HEALTH[5:])
    assert busy.recv(15) == b"HTTP/1.1 200 OK"
    assert [health(one) for one in (third, last)] == [b"HTTP/1.1 200 OK"] * 2
