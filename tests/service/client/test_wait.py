"""Waiting by the server's events, and by looking again and again where there are none."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.client import Client, NotFoundError
from service.states import JobState

PROGRESS = dict.fromkeys(("reused", "diverged", "timed_out", "failed", "collapsed"), 0)
Handler = Callable[[httpx.Request], httpx.Response]


def job(state: str, completed: int) -> dict[str, Any]:
    return {
        "id": "x",
        "name": "a job",
        "state": state,
        "requested": None,
        "tags": [],
        "priority": 0,
        "attempt": 1,
        "crashes": 0,
        "revision": completed,
        "fingerprints": [],
        "execution": {},
        "submitted_by": "local",
        "created_at": "2026-01-01T00:00:00.000+00:00",
        "started_at": None,
        "first_record_at": None,
        "finished_at": None,
        "error": None,
        "progress": PROGRESS | {"total": 4, "completed": completed, "cells_per_s": None, "eta_s": None},
    }


def event(kind: str, values: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(values)}\nid: {values['revision']}\n\n".encode()


class Server:
    """A server whose job is as `now` says, and whose events come from `streams` in turn."""

    def __init__(self, *streams: Callable[[], Iterator[bytes]] | int) -> None:
        self._streams = list(streams)
        self.now = job("running", 0)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        if self.asked[-1] != "events":
            return httpx.Response(200, json=self.now)
        stream = self._streams.pop(0)
        if isinstance(stream, int):
            document = {"title": "t", "detail": "no", "errors": [], "request_id": "r"}
            return httpx.Response(stream, json=document)
        return httpx.Response(200, content=stream())

    def wait(self, **options: Any) -> list[int]:
        """Return how far the job was at each look, to its end."""
        seen: list[int] = []
        with Client("http://a.test", transport=httpx.MockTransport(self)) as client:
            found = client.job("x").wait(on_poll=lambda one: seen.append(one.progress.completed), **options)
        assert found.state in (JobState.COMPLETED, JobState.PAUSED)
        return seen


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.job.POLL_S", 0.0)


def test_events_tell_the_end_without_a_further_look() -> None:
    def stream() -> Iterator[bytes]:
        yield event("job", job("running", 1)) + b": a comment\n\n"
        yield event("records", job("running", 3))
        yield event("end", job("completed", 4))

    server = Server(stream)
    assert server.wait() == [0, 1, 3, 4]
    assert server.asked == ["x", "x", "events"]


def test_a_stream_that_breaks_off_is_gone_on_with() -> None:
    def broken() -> Iterator[bytes]:
        yield event("job", job("running", 1))
        server.now = job("running", 2)
        raise httpx.ReadError("killed")

    def stopping() -> Iterator[bytes]:
        server.now = job("running", 3)
        yield b""

    def second() -> Iterator[bytes]:
        yield event("end", job("completed", 4))

    server = Server(broken, 503, stopping, second)
    assert server.wait() == [0, 1, 2, 2, 3, 4]
    assert server.asked.count("events") == 4


def test_a_paused_job_is_not_waited_for() -> None:
    def stream() -> Iterator[bytes]:
        yield event("job", job("paused", 2))
        raise AssertionError("nobody reads on")

    assert Server(stream).wait() == [0, 2]


def test_a_server_without_events_is_asked_for_them_once() -> None:
    server = Server(404)
    looks: list[int] = []

    def look(one: Any) -> None:
        looks.append(one.progress.completed)
        server.now = job("completed" if len(looks) == 3 else "running", len(looks))

    with Client("http://a.test", transport=httpx.MockTransport(server)) as client:
        client.job("x").wait(on_poll=look)
    assert looks == [0, 1, 2, 3]
    assert server.asked.count("events") == 1


def test_a_job_that_is_deleted_meanwhile_is_said() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        document = {"title": "t", "detail": "there is no job 'x'.", "errors": [], "request_id": "r"}
        return httpx.Response(404, json=document) if len(server.asked) > 2 else server(request)

    server = Server(404)
    with Client("http://a.test", transport=httpx.MockTransport(gone)) as client:
        found = client.job("x")
        with pytest.raises(NotFoundError, match="there is no job 'x'"):
            found.wait()


def test_with_a_limit_the_job_is_read_again_and_again() -> None:
    server = Server()
    server.now = job("completed", 4)
    assert server.wait(timeout_s=5) == [4]
    assert "events" not in server.asked
