"""The log of a job over HTTP."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.states import JobState
from service.store import Job, Store
from service.web import logs
from tests.service.filling import submit
from tests.service.processes import until

pytestmark = pytest.mark.slow
HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(logs, "FOLLOW_POLL_S", 0.02)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Job, str], None]:
    """Append to the log of a job."""

    def append(job: Job, text: str) -> None:
        path = tmp_path / "data" / "logs" / f"{job.id}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            log.write(text)

    return append


def url_of(job: Job) -> str:
    return f"/api/v1/jobs/{job.id}/logs"


def claim(store: Store, job: Job, host: str = HERE) -> None:
    assert store.claim(f"{host}-12-abc", 60, only=job.id)


def test_the_end_of_a_log_is_plain_text(web: httpx.Client, store: Store, write: Callable[[Job, str], None]) -> None:
    job = submit(store)
    write(job, "".join(f"{n} <b>\x1b[1m\n" for n in range(300)))
    answer = web.get(url_of(job))
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text.splitlines() == [f"{n} <b>␛[1m" for n in range(100, 300)]
    assert web.get(url_of(job), params={"tail": 1}).text == "299 <b>␛[1m\n"
    assert web.get(url_of(job), params={"tail": 0}).text == ""


@pytest.mark.parametrize("tail", [-1, 10_001, "many"])
def test_a_tail_has_bounds(web: httpx.Client, store: Store, tail: object) -> None:
    assert web.get(url_of(submit(store)), params={"tail": str(tail)}).status_code == 422


def test_why_there_is_no_log(web: httpx.Client, store: Store) -> None:
    job, elsewhere = submit(store), submit(store)
    assert "has no log yet" in web.get(url_of(job)).json()["detail"]
    claim(store, job)
    assert "has no log yet" in web.get(url_of(job)).json()["detail"]
    store.finish(job.id, 1, JobState.COMPLETED)
    claim(store, elsewhere, "big-machine")
    for follow in (False, True):
        answers = [web.get(url_of(one), params={"follow": follow}) for one in (job, elsewhere)]
        assert [answer.status_code for answer in answers] == [404, 404]
        ended, running = (answer.json()["detail"] for answer in answers)
        assert ended == (
            f"job {job.id} has no log on this host: it is logs/{job.id}.log in the data folder of the host that ran "
            "it, if a driver had to start."
        )
        assert "on big-machine, the host that runs it" in running
    assert web.get("/api/v1/jobs/nothing/logs").json()["detail"] == "there is no job 'nothing'."


def test_a_log_that_goes_on_elsewhere_says_so(
    web: httpx.Client, store: Store, write: Callable[[Job, str], None]
) -> None:
    job = submit(store)
    write(job, "line\n")
    claim(store, job, "big-machine")
    note = f"(job {job.id} is run on big-machine now: unless that shares our data folder, its log goes on there)\n"
    assert web.get(url_of(job)).text == "line\n" + note
    thread, pieces = followed(web, job)
    until(lambda: "".join(pieces) == "line\n" + note, "it is said")
    store.finish(job.id, 1, JobState.COMPLETED)
    thread.join(10)
    assert not thread.is_alive()


def followed(web: httpx.Client, job: Job, tail: int = 200) -> tuple[threading.Thread, list[str]]:
    """Follow a log beside the test."""
    pieces: list[str] = []

    def follow() -> None:
        with web.stream("GET", url_of(job), params={"follow": True, "tail": tail}) as response:
            pieces.extend(response.iter_text())

    thread = threading.Thread(target=follow)
    thread.start()
    return thread, pieces


def test_what_is_appended_is_sent_until_the_job_has_ended(
    web: httpx.Client, store: Store, write: Callable[[Job, str], None]
) -> None:
    job = submit(store)
    write(job, "old\nlast\n")
    thread, pieces = followed(web, job, tail=1)
    until(lambda: "".join(pieces) == "last\n", "the end came")
    claim(store, job)
    for line in ("new\n", "ha", "lf\n"):
        write(job, line)
        until(lambda: "".join(pieces).endswith(line), "it was sent")  # noqa: B023  (called at once)
    write(job, "x" * 300_000 + "\n")
    store.finish(job.id, 1, JobState.COMPLETED)
    thread.join(10)
    assert not thread.is_alive()
    assert "".join(pieces) == "last\nnew\nhalf\n" + "x" * 300_000 + "\n"


def test_a_log_that_may_come_is_waited_for(web: httpx.Client, store: Store, write: Callable[[Job, str], None]) -> None:
    job = submit(store)
    thread, pieces = followed(web, job)
    time.sleep(0.1)
    assert thread.is_alive()
    claim(store, job)
    write(job, "first\n")
    until(lambda: pieces == ["first\n"], "it came")
    store.finish(job.id, 1, JobState.FAILED, "no luck")
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("host", [None, "big-machine"])
def test_a_log_that_did_not_come_is_told(web: httpx.Client, store: Store, host: str | None) -> None:
    job = submit(store)
    thread, pieces = followed(web, job)
    if host is None:
        store.cancel(job.id)
    else:
        claim(store, job, host)
    thread.join(10)
    assert not thread.is_alive()
    told = "".join(pieces)
    assert ("on big-machine" if host else "has no log") in told


def test_a_job_that_is_deleted_ends_what_follows_it(
    web: httpx.Client, store: Store, write: Callable[[Job, str], None]
) -> None:
    job = submit(store)
    write(job, "line\n")
    thread, pieces = followed(web, job)
    until(lambda: pieces == ["line\n"], "it came")
    store.cancel(job.id)
    store.delete(job.id)
    thread.join(10)
    assert not thread.is_alive()


def test_more_followers_than_there_is_room_for_come_later(
    web: httpx.Client, store: Store, shared_app: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_FOLLOWERS", 1)
    job = submit(store)
    thread, _ = followed(web, job)
    until(lambda: shared_app[0].state.rhobust.n_followers == 1, "the first follows", 20)
    refused = web.get(url_of(job), params={"follow": True})
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "60"
    assert refused.json()["detail"].startswith("1 logs are followed already")
    store.cancel(job.id)
    thread.join(20)
    assert web.get(url_of(job), params={"follow": True}).status_code == 404, "there is room again, and no log"


def test_a_server_that_stops_says_so_and_ends_what_follows(
    web: httpx.Client, store: Store, shared_app: tuple[FastAPI, str]
) -> None:
    thread, pieces = followed(web, submit(store))
    shared_app[0].state.rhobust.is_stopping = True
    thread.join(10)
    assert not thread.is_alive()
    assert "the server stops" in "".join(pieces)


@pytest.fixture
def n_looks(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a job was looked at."""
    looks: list[str] = []
    look = store.job

    def counting(job_id: str) -> Job:
        looks.append(job_id)
        return look(job_id)

    monkeypatch.setattr(store, "job", counting)
    return lambda: len(looks)


def test_nobody_looks_for_a_reader_who_has_gone(
    web: httpx.Client, store: Store, write: Callable[[Job, str], None], n_looks: Callable[[], int]
) -> None:
    job = submit(store)
    write(job, "line\n")
    with web.stream("GET", url_of(job), params={"follow": True}) as response:
        pieces = response.iter_text()
        assert next(pieces) == "line\n"
        until(lambda: n_looks() > 3, "it is looked at")

    def is_quiet() -> bool:
        before = n_looks()
        time.sleep(0.3)
        return n_looks() == before

    until(is_quiet, "it is left alone", 10)


def test_many_readers_hold_no_threads(web: httpx.Client, store: Store, write: Callable[[Job, str], None]) -> None:
    job = submit(store)
    write(job, "line\n")
    with httpx.Client(base_url=web.base_url, limits=httpx.Limits(max_connections=60)) as many:
        readers = [followed(many, job) for _ in range(50)]  # there are 40 threads for requests
        until(lambda: all(pieces == ["line\n"] for _, pieces in readers), "all have read")
        assert web.get(f"/api/v1/jobs/{job.id}").status_code == 200
        store.cancel(job.id)
        for thread, _ in readers:
            thread.join(10)
            assert not thread.is_alive()
