"""Which requests are sent again, when, and with what; on a clock of the test."""

import email.utils
import itertools
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.client import (
    Client,
    ClientError,
    ConflictError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    ServerFaultError,
    ServerUnreachableError,
    UnauthorizedError,
)
from service.telemetry import noted
from tests.service.filling import small_spec

URL = "http://a.test"
Answer = httpx.Response | Exception


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("service.client.connection.time", made)
    return made


def problem(status: int, *, detail: str = "no", **headers: str) -> httpx.Response:
    document = {
        "type": "about:blank",
        "title": "A title",
        "status": status,
        "detail": detail,
        "errors": [{"pointer": "/seeds", "detail": "too many"}],
        "request_id": "r1",
    }
    return httpx.Response(status, json=document, headers={name.replace("_", "-"): v for name, v in headers.items()})


class Sent:
    """A server that gives the answers in turn, the last one for ever, and keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, patience_s: float = 60.0) -> Client:
        return Client(URL, transport=httpx.MockTransport(self), patience_s=patience_s)


FINE = httpx.Response(200, json={"items": [], "next_page_token": None})
BROKEN = httpx.ReadError("broken off")
NOBODY = httpx.ConnectError("refused")


def read(client: Client) -> object:
    return client.json("GET", "/jobs")


def submit(client: Client) -> object:
    return client.json("POST", "/jobs", json=small_spec(), headers={"Idempotency-Key": "k1"})


def pause(client: Client) -> object:
    return client.json("POST", "/jobs/x/pause")


def delete(client: Client) -> object:
    return client.request("DELETE", "/jobs/x")


@pytest.mark.parametrize(
    ("call", "answer", "is_repeated"),
    [
        (read, BROKEN, True),
        (read, NOBODY, True),
        (read, problem(503), True),
        (read, httpx.Response(502, text="<html>"), True),
        (read, problem(429), True),
        (read, problem(500), False),
        (read, problem(404), False),
        (submit, BROKEN, True),
        (submit, problem(503), True),
        (submit, problem(422), False),
        (pause, BROKEN, False),
        (pause, httpx.ReadTimeout("late"), False),
        (pause, problem(503), False),
        (pause, NOBODY, True),
        (pause, problem(429), True),
        (delete, BROKEN, False),
        (delete, NOBODY, True),
    ],
)
def test_what_is_sent_again(clock: Clock, call: Callable[[Client], object], answer: Answer, is_repeated: bool) -> None:
    server = Sent(answer, FINE)
    client = server.client()
    if is_repeated:
        call(client)
        assert len(server.requests) == 2
        first, second = server.requests
        assert (first.content, first.headers) == (second.content, second.headers)
    else:
        with pytest.raises((ProblemError, ServerUnreachableError), match=r"no|broken|late"):
            call(client)
        assert len(server.requests) == 1


def test_every_submission_has_a_key_of_its_own_that_its_repetitions_share(clock: Clock) -> None:
    server = Sent(BROKEN, problem(503), problem(422), BROKEN, problem(422))
    client = server.client()
    for _ in range(2):
        with pytest.raises(ProblemError, match="no"):
            client.submit(small_spec())
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(keys) == 5
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1
    assert keys[0] != keys[3]


def test_pauses_double_up_to_five_seconds_and_differ_between_clients(clock: Clock) -> None:
    client = Sent(FINE, NOBODY).client()
    read(client)
    with pytest.raises(ServerUnreachableError, match="no answer from"):
        read(client)
    for count, pause_s in enumerate(clock.slept):
        longest = min(5.0, 0.2 * 2**count)
        assert longest / 2 <= pause_s <= longest
    assert 50 < sum(clock.slept) <= 60
    assert len({round(pause_s, 6) for pause_s in clock.slept}) == len(clock.slept)


def test_a_server_that_never_answered_is_not_waited_for_long(clock: Clock) -> None:
    with pytest.raises(ServerUnreachableError, match="Is `rhobust serve` running") as caught:
        read(Sent(NOBODY).client())
    assert sum(clock.slept) <= 3
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_without_patience_nothing_is_sent_again(clock: Clock) -> None:
    server = Sent(NOBODY)
    with pytest.raises(ServerUnreachableError, match="no answer"):
        read(server.client(patience_s=0))
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerFaultError)])
def test_the_pause_that_the_server_asks_for_is_kept(clock: Clock, status: int, kind: type[ProblemError]) -> None:
    read(Sent(problem(status, Retry_After="2"), FINE).client())
    assert clock.slept == [2.0]
    with pytest.raises(kind, match="no") as caught:
        read(Sent(problem(status, Retry_After="900"), FINE).client())
    assert clock.slept == [2.0], "longer than anybody is patient: it is said at once"
    assert caught.value.retry_after_s == 900


def test_a_pause_may_be_a_date(clock: Clock) -> None:
    read(Sent(problem(503, Retry_After=email.utils.formatdate(time.time() + 2, usegmt=True)), FINE).client())
    assert 0.5 < clock.slept[0] <= 2
    read(Sent(problem(503, Retry_After="soon"), FINE).client())
    assert clock.slept[1] <= 0.2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, ProblemError),
        (500, ServerFaultError),
    ],
)
def test_a_refusal_carries_its_problem_document(clock: Clock, status: int, kind: type[ProblemError]) -> None:
    with pytest.raises(ProblemError, match=r"no\n  /seeds: too many") as caught:
        read(Sent(problem(status)).client())
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.title, error.detail, error.request_id) == (status, "A title", "no", "r1")
    assert [(one.pointer, one.detail) for one in error.errors] == [("/seeds", "too many")]
    assert error.retry_after_s is None


def test_a_page_that_is_not_ours_is_no_missing_job(clock: Clock) -> None:
    with pytest.raises(ProblemError, match=r"404 Not Found: is http://a.test/api/v1/jobs a Rhobust server\?") as caught:
        read(Sent(httpx.Response(404, text="<html>not here</html>")).client())
    assert type(caught.value) is ProblemError
    assert (caught.value.status, caught.value.errors, caught.value.request_id) == (404, (), "")
    with pytest.raises(ServerFaultError, match="502 Bad Gateway"):
        read(Sent(httpx.Response(502)).client())


def test_a_body_that_breaks_off_is_said(clock: Clock) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"id,"
        raise BROKEN

    client = Client(URL, transport=httpx.MockTransport(lambda _: httpx.Response(200, content=pieces())))
    with pytest.raises(ServerUnreachableError, match="broken off"):
        list(client.download("/jobs/x/records", {}))
    with pytest.raises(NotFoundError, match="no"):
        list(Sent(problem(404)).client().lines("/jobs/x/logs", {}))


def test_every_request_bears_an_id_and_that_of_the_request_it_is_sent_for() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["X-Request-ID"])
        return httpx.Response(200, json={"items": [], "next_page_token": None})

    with Client(URL, transport=httpx.MockTransport(answer)) as client:
        list(client.jobs())
        list(client.jobs())
        with noted(request_id="outer"):
            list(client.jobs())
    assert seen[0] != seen[1]
    assert seen[2] == "outer"


def test_a_fault_names_its_request_and_a_refusal_does_not(clock: Clock) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return problem(500 if request.url.path.endswith("/x") else 404)

    with Client(URL, transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ServerFaultError, match=r"too many \(request r1\)$"):
            client.job("x")
        with pytest.raises(NotFoundError, match="no") as caught:
            client.job("y")
    assert "r1" not in str(caught.value)


def test_what_may_have_arrived_without_an_answer_names_its_request(clock: Clock) -> None:
    ids: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        ids.append(request.headers["X-Request-ID"])
        raise httpx.ReadTimeout("too late", request=request)

    client = Client(URL, transport=httpx.MockTransport(answer))
    with client, pytest.raises(ServerUnreachableError, match="no answer from") as caught:
        client.job("x")
    assert str(caught.value).endswith(f"(request {ids[-1]})")
    assert len(ids) > 1
    assert set(ids) == {ids[0]}, "tried again, it is the same request"


@pytest.mark.parametrize("url", ["127.0.0.1:8321", "foo", "ftp://a.test", "http://", "http://a.test:port"])
def test_an_address_of_no_server_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ClientError, match=r"address of a server is like http://127\.0\.0\.1:8321, but got"):
        Client(url)
