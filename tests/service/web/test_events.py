"""Server-sent events of jobs over HTTP."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fastapi.routing
import httpx
import pytest
from fastapi import FastAPI

from service.states import JobState
from service.store import Store
from service.web import events, feed
from tests.service.filling import LEASE_S, records_of, run_made_up, submit
from tests.service.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and comment often."""
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.1)


@dataclass
class Reader:
    """Somebody who reads events beside the test."""

    told: list[dict[str, Any]] = field(default_factory=list)
    n_comments: int = 0
    thread: threading.Thread | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)

    def read(self, web: httpx.Client, path: str, headers: dict[str, str]) -> None:
        with web.stream("GET", f"/api/v1{path}", headers=headers) as response:
            assert response.status_code == 200
            self.headers = response.headers
            event: dict[str, Any] = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.n_comments += 1
                elif line:
                    event[name] = json.loads(value) if name == "data" else value
                elif event:
                    self.told.append(event)
                    event = {}

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.told]

    def has_ended(self) -> bool:
        assert self.thread is not None
        self.thread.join(10)
        return not self.thread.is_alive()


@pytest.fixture
def follow(web: httpx.Client, shared_app: tuple[FastAPI, str]) -> Iterator[Callable[..., Reader]]:
    """Read events beside the test, from when the first has come; the server lets all go at the end."""
    readers: list[Reader] = []

    def start(path: str, *, first: bool = True, **headers: str) -> Reader:
        reader = Reader()
        readers.append(reader)
        reader.thread = threading.Thread(target=reader.read, args=(web, path, headers), daemon=True)
        reader.thread.start()
        until(lambda: bool(reader.told) or (not first and bool(reader.headers)), "the stream begins")
        return reader

    yield start
    shared_app[0].state.rhobust.is_stopping = True
    assert all(reader.has_ended() for reader in readers)


def test_a_job_is_followed_to_its_end(web: httpx.Client, store: Store, follow: Callable[..., Reader]) -> None:
    job = submit(store)
    reader = follow(f"/jobs/{job.id}/events")
    assert reader.headers["Content-Type"].startswith("text/event-stream")
    assert reader.headers["Cache-Control"] == "no-cache"
    claimed = store.claim("a-dispatcher", LEASE_S, only=job.id)
    assert claimed is not None
    until(lambda: reader.kinds() == ["job", "job"], "the claim is told")
    run = records_of(claimed)
    store.register({one.record.setting: {} for one in run}, {run[0].record.fingerprint: {}})
    store.write_records(job.id, claimed.attempt, run[:5], LEASE_S)
    until(lambda: reader.kinds() == ["job", "job", "records"], "the records are told")
    store.finish(job.id, claimed.attempt, JobState.COMPLETED)
    assert reader.has_ended(), "nothing comes after the end"
    assert reader.kinds() == ["job", "job", "records", "end"]
    assert [event["data"]["progress"]["completed"] for event in reader.told] == [0, 0, 5, 5]
    assert [event["id"] for event in reader.told] == [str(event["data"]["revision"]) for event in reader.told]
    listed = web.get("/api/v1/jobs").json()["items"]
    assert reader.told[-1]["data"] == listed[0], "the data is the job as in a list"


def test_who_comes_again_is_told_the_present(store: Store, follow: Callable[..., Reader]) -> None:
    job = run_made_up(store, submit(store))
    for header in ({}, {"Last-Event-ID": "1"}, {"Last-Event-ID": str(job.revision)}, {"Last-Event-ID": "nonsense"}):
        reader = follow(f"/jobs/{job.id}/events", **header)
        assert reader.has_ended()
        assert [(event["event"], event["id"]) for event in reader.told] == [("end", str(job.revision))]


def test_all_jobs_are_followed(store: Store, follow: Callable[..., Reader]) -> None:
    run_made_up(store, submit(store))
    waiting = submit(store)
    reader = follow("/events")
    assert [event["id"] for event in reader.told] == [f"{waiting.id}:1"], "first what has not ended"
    new = submit(store)
    until(lambda: len(reader.told) == 2, "a new job is told")
    store.pause(new.id)
    until(lambda: len(reader.told) == 3, "a change is told")
    store.cancel(waiting.id)
    until(lambda: len(reader.told) == 4, "an end is told, and the feed goes on")
    store.retry(waiting.id)
    until(lambda: len(reader.told) == 5, "and what comes after it")
    assert [(event["event"], event["data"]["state"]) for event in reader.told] == [
        ("job", "queued"),
        ("job", "queued"),
        ("job", "paused"),
        ("end", "cancelled"),
        ("job", "queued"),
    ]


def test_a_silent_feed_has_comments(store: Store, follow: Callable[..., Reader]) -> None:
    reader = follow("/events", first=False)
    until(lambda: reader.n_comments >= 2, "it is kept alive")
    assert reader.told == []


def test_a_job_that_is_deleted_ends_its_feed(store: Store, follow: Callable[..., Reader]) -> None:
    job = submit(store)
    reader = follow(f"/jobs/{job.id}/events")
    with store._database.write() as connection:  # at once, as two calls between two looks are
        connection.exec_driver_sql("DELETE FROM job")
    assert reader.has_ended()
    assert reader.kinds() == ["job"]


def test_what_is_wrong_is_told_before_the_stream(
    web: httpx.Client, store: Store, follow: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web.get("/api/v1/jobs/nothing/events").status_code == 404
    assert web.get("/api/v1/jobs/a%00b/events").status_code == 422
    monkeypatch.setattr(events, "MAX_READERS", 1)
    job = submit(store)
    reader = follow(f"/jobs/{job.id}/events")
    refused = web.get("/api/v1/events")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert refused.json()["detail"].startswith("1 read events already")
    store.cancel(job.id)
    assert reader.has_ended()
    assert web.head(f"/api/v1/jobs/{job.id}/events").status_code == 200


def test_a_server_that_stops_ends_every_feed(
    store: Store, follow: Callable[..., Reader], shared_app: tuple[FastAPI, str]
) -> None:
    readers = [follow(f"/jobs/{submit(store).id}/events"), follow("/events")]
    shared_app[0].state.rhobust.is_stopping = True
    assert all(reader.has_ended() for reader in readers)


def test_all_readers_share_one_look_and_nobody_looks_when_all_have_gone(
    web: httpx.Client,
    store: Store,
    follow: Callable[..., Reader],
    shared_app: tuple[FastAPI, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, other = submit(store), submit(store)
    looks: list[set[str]] = []
    look = store.revisions

    def counting(job_ids: Any, since: int | None = None) -> Any:
        looks.append(set(job_ids))
        return look(job_ids, since)

    monkeypatch.setattr(store, "revisions", counting)
    readers = [follow(f"/jobs/{job.id}/events") for _ in range(20)]
    with web.stream("GET", f"/api/v1/jobs/{other.id}/events") as response:
        pieces = response.iter_bytes()  # a reader whose pieces nobody holds has gone
        next(pieces)
        state = shared_app[0].state.rhobust
        until(lambda: state.feed.n_readers == 21, "all read")
        until(lambda: bool(looks) and looks[-1] == {job.id, other.id}, "one look is for all")
    until(lambda: state.feed.n_readers == 20, "the one who went is forgotten")
    store.cancel(job.id)
    assert all(reader.has_ended() for reader in readers)
    assert {tuple(reader.kinds()) for reader in readers} == {("job", "end")}

    def is_quiet() -> bool:
        before = len(looks)
        time.sleep(0.2)
        return len(looks) == before

    until(is_quiet, "nobody looks", 10)
