import json
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.store import Store
from service.telemetry.messages import JsonFormatter, TextFormatter
from tests.service.filling import submit
from tests.service.processes import until

KEY = "rhb_abc123_" + "S3cr3t-" * 6
Lines = Callable[[], list[dict[str, Any]]]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
        self.texts.append(TextFormatter().format(record))


@pytest.fixture
def kept() -> Iterator[_Kept]:
    """Everything that our loggers say, in both forms."""
    handler, ours = _Kept(), logging.getLogger("rhobust")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield handler
    ours.removeHandler(handler)
    ours.setLevel(level)


def access(kept: _Kept, request_id: str) -> dict[str, Any]:
    """Return the line about a request; it comes when the answer has been sent."""

    def found() -> list[dict[str, Any]]:
        parsed = map(json.loads, list(kept.lines))
        return [one for one in parsed if one["logger"] == "rhobust.access" and one["request_id"] == request_id]

    until(lambda: bool(found()), "the line about a request", 10.0)
    (line,) = found()
    return line


def test_a_request_is_a_line_with_its_route_status_and_job(web: httpx.Client, store: Store, kept: _Kept) -> None:
    job = submit(store)
    web.get(f"/api/v1/jobs/{job.id}/records", params={"page_size": "5"}, headers={"X-Request-ID": "mine"})
    line = access(kept, "mine")
    assert 0.0 < line.pop("duration_s") < 60.0
    assert line.pop("message").startswith(f"GET /api/v1/jobs/{job.id}/records 200 in ")
    assert {name: value for name, value in line.items() if name != "time"} == {
        "level": "INFO",
        "logger": "rhobust.access",
        "request_id": "mine",
        "method": "GET",
        "route": "/api/v1/jobs/{job_id}/records",
        "path": f"/api/v1/jobs/{job.id}/records",
        "status": 200,
        "principal": "local",
        "job_id": job.id,
    }


@pytest.mark.parametrize(
    ("path", "route", "level"),
    [
        ("/api/v1/jobs/none", "/api/v1/jobs/{job_id}", "INFO"),
        ("/api/v1/optimizers", "/api/v1/optimizers", "INFO"),
        ("/nowhere", "other", "INFO"),
        ("/healthz", "/healthz", "DEBUG"),
        ("/static/style.css", "/static/{path}", "DEBUG"),
        ("/static/none.css", "/static/{path}", "DEBUG"),
    ],
)
def test_every_request_has_a_route_and_probes_are_quiet(
    web: httpx.Client, kept: _Kept, path: str, route: str, level: str
) -> None:
    line = access(kept, web.get(path).headers["X-Request-ID"])
    assert (line["path"], line["route"], line["level"]) == (path, route, level)


def test_queries_headers_and_bodies_are_in_no_line(web: httpx.Client, kept: _Kept) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Request-ID": "mine"}
    web.post("/api/v1/jobs", params={"dry_run": "hidden"}, json={"name": "hidden"}, headers=headers)
    web.get(f"/api/v1/jobs/{KEY}")
    access(kept, "mine")
    written = "\n".join(kept.lines + kept.texts)
    for secret in ("hidden", "S3cr3t"):
        assert secret not in written


@pytest.mark.parametrize(
    "path", ["/x%0A2026-01-01T00:00:00Z%20ERROR%20forged", "/x%0D%0Aforged", "/%1B%5B2Kx", "/x%E2%80%A8forged"]
)
def test_a_hostile_path_forges_no_line(web: httpx.Client, kept: _Kept, path: str) -> None:
    line = access(kept, web.get(path).headers["X-Request-ID"])
    assert line["path"] == path, "as it was sent"
    (text,) = [text for text in kept.texts if line["request_id"] in text]
    assert len(text.splitlines()) == 1


def test_a_method_that_nobody_knows_and_a_long_path_are_kept_short(served: str, kept: _Kept) -> None:
    url = httpx.URL(served)
    with socket.create_connection((url.host, url.port or 80), timeout=10.0) as connection:
        connection.sendall(
            b"BREW /"
            + b"a" * 1_000
            + b"\xff HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: odd\r\nConnection: close\r\n\r\n"
        )
        answer = connection.recv(65_536)
    if b" 400 " in answer.split(b"\r\n", 1)[0]:  # the HTTP parser refused it before us
        return
    line = access(kept, "odd")
    assert line["method"] == "other"
    assert len(line["path"]) <= 600


def test_a_fault_is_logged_once_with_its_request_and_answered_with_every_header(
    shared_app: tuple[FastAPI, str], web: httpx.Client, kept: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = shared_app

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(app.state.rhobust.store, "listed", broken)
    answer = web.get("/api/v1/jobs", headers={"X-Request-ID": "faulty"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "faulty"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert access(kept, "faulty")["level"] == "WARNING"
    (fault,) = [one for one in map(json.loads, kept.lines) if "exception" in one]
    assert (fault["request_id"], fault["level"]) == ("faulty", "ERROR")
    assert fault["exception"].endswith("RuntimeError: broken on purpose")


def test_a_client_that_leaves_in_the_midst_of_its_body_is_no_fault(served: str, kept: _Kept) -> None:
    url = httpx.URL(served)
    with socket.create_connection((url.host, url.port or 80), timeout=10.0) as connection:
        connection.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nX-Request-ID: gone\r\n\r\n{"
        )
    assert access(kept, "gone")["status"] == 499
    assert not [line for line in kept.lines if "exception" in json.loads(line)]
