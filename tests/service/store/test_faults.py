"""Faults of the database: what was acknowledged stays, what was not can be repeated, and messages keep secrets."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
import pytest
from sqlalchemy import Connection, event, text

from benchmark.records import Record
from service.states import JobState
from service.store import InvalidValueError, JobQuery, LostLeaseError, Store, StoreError, UnavailableError, upgrade
from service.store import database as database_module
from service.store.database import Database
from tests.service.store.samples import TTL_S, make_record, new_job, queue, register, running, write

Result = TypeVar("Result")


class FaultyDatabase(Database):
    """A database whose transactions fail at random, half of them after the commit, when the answer is lost."""

    def __init__(self, url: str, seed: int, rate: float) -> None:
        super().__init__(url)
        self._random = np.random.default_rng(seed)
        self._rate = rate
        self.n_faults = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        before, after = self._random.random() < self._rate, self._random.random() < self._rate
        with super().write() as connection:
            yield connection
            if before:
                self.n_faults += 1
                raise UnavailableError("fault before the commit")
        if after:
            self.n_faults += 1
            raise UnavailableError("fault after the commit")


def insistently(call: Callable[[], Result]) -> Result:
    """Repeat a call until the database answers, as every client of the store does."""
    for _ in range(100):
        try:
            return call()
        except UnavailableError:
            continue
    raise AssertionError("the database never answered")


def pragma(url: str, name: str) -> Any:
    """Ask the file itself, past the store."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def run_all(store: Store, n_cells: int) -> None:
    """A dispatcher that repeats every call until it is answered, and trusts only what the store says."""
    while True:
        job = insistently(lambda: store.claim("one", TTL_S))
        if job is None:
            return
        for cell in range(n_cells):
            record = make_record(cell)
            insistently(lambda job=job, record=record: write(store, job, [record]))  # type: ignore[misc]
        try:
            insistently(lambda job=job: store.finish(job.id, job.attempt, JobState.COMPLETED))  # type: ignore[misc]
        except LostLeaseError:
            assert store.job(job.id).state is JobState.COMPLETED  # the answer to the first call was lost


@pytest.mark.parametrize("n_jobs", [15, pytest.param(150, marks=pytest.mark.slow)])
def test_answers_lost_before_and_after_the_commit_do_no_harm(database_url: str, n_jobs: int) -> None:
    database = FaultyDatabase(database_url, seed=7, rate=0.1)
    with Store(database) as store:
        insistently(lambda: register(store))
        new = new_job(n_cells=5, max_crashes=50)  # a claim whose answer is lost counts as a crash
        submitted = set()
        for number in range(n_jobs):
            made = insistently(lambda key=str(number): store.submit(new, idempotency_key=key))  # type: ignore[misc]
            submitted.add(made[0].id)
        assert len(submitted) == n_jobs
        while True:
            run_all(store, 5)
            lost = store.jobs(
                JobQuery(states=[JobState.RUNNING], limit=1000)
            )  # claimed, but the answer was lost: the lease runs out
            if not lost:
                break
            for job in lost:
                insistently(lambda job=job: store.renew(job.id, job.attempt, 0))  # type: ignore[misc]
        jobs = store.jobs(JobQuery(limit=1000))
        assert {job.id for job in jobs} == submitted
        assert {job.state for job in jobs} == {JobState.COMPLETED}
        for job in jobs:
            records = [item.record.config_key for item in store.iter_records(job.id)]
            assert len(records) == len(set(records)) == store.progress(job.id).completed == 5
        assert database.n_faults > n_jobs


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_full_disk_loses_nothing_that_was_acknowledged(database_url: str, backend: str) -> None:
    limit = {"pages": 0}
    database = Database(database_url)

    @event.listens_for(database.engine, "checkout")
    def _limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit['pages'] or 1 << 30}")

    with Store(database) as store:
        job = running(store, n_cells=5000)
        limit["pages"] = pragma(database_url, "page_count") + 10
        written: list[Record] = []

        def write_all() -> None:
            for start in range(0, 5000, 20):
                batch = [make_record(cell) for cell in range(start, start + 20)]
                write(store, job, batch)
                written.extend(batch)

        with pytest.raises(UnavailableError, match="database or disk is full"):
            write_all()
        assert written
        assert store.job(job.id).state is JobState.RUNNING
        assert {item.record.id for item in store.iter_records(job.id)} == {record.id for record in written}
        assert sqlite3.connect(database_url.removeprefix("sqlite:///")).execute(
            "PRAGMA integrity_check"
        ).fetchone() == ("ok",)

        limit["pages"] = 0
        write(store, job, [make_record(cell) for cell in range(5000, 5100)])
        assert store.progress(job.id).completed == len(written) + 100


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_full_disk_of_a_server_is_told_as_such(database_url: str, backend: str) -> None:
    database = Database(database_url)
    with Store(database) as store:
        job = running(store)

        def fail(*_: object) -> None:
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")

        event.listen(database.engine, "before_cursor_execute", fail)
        with pytest.raises(UnavailableError, match="No space left on device"):
            write(store, job, [make_record(0)])
        event.remove(database.engine, "before_cursor_execute", fail)
        write(store, job, [make_record(0)])


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_locked_file_is_unavailable_after_the_timeout(
    database_url: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.database.BUSY_TIMEOUT_MS", 50)
    with Store.open(database_url) as store:
        job = queue(store)
        blocker = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match=r"the database sqlite:///.* cannot be used: database is locked\."):
            store.pause(job.id)
        assert store.job(job.id) == job  # readers do not wait
        blocker.execute("ROLLBACK")
        blocker.close()
        store.pause(job.id)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_that_cannot_be_written_is_told_at_once(
    database_url: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = database_module._prepare_sqlite

    def read_only(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA query_only = ON")

    monkeypatch.setattr(database_module, "_prepare_sqlite", read_only)
    with pytest.raises(UnavailableError, match="attempt to write a readonly database"):
        Store.open(database_url)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "rhobust.db"
    path.write_text("no database at all, but long enough to have a header")
    with pytest.raises(StoreError, match="file is not a database"):
        Store.open(f"sqlite:///{path}", create=True)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_restart_of_the_server_is_survived(database_url: str, backend: str) -> None:
    with Store.open(database_url) as store:
        job = running(store)
        name = database_url.rsplit("/", 1)[-1].split("?")[0]
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (name,),
            )
        insistently(lambda: write(store, job, [make_record(0)]))
        assert store.progress(job.id).completed == 1


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_statement_has_a_time_limit(database_url: str, backend: str) -> None:
    for timeout_ms, shown in ((50, "50ms"), (None, "30s")):
        database = (
            Database(database_url) if timeout_ms is None else Database(database_url, statement_timeout_ms=timeout_ms)
        )
        with database.read() as connection:
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == shown
        if timeout_ms is not None:
            with pytest.raises(UnavailableError, match="statement timeout"), database.read() as connection:
                connection.execute(text("SELECT pg_sleep(5)"))
        database.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@127.0.0.1:1/db",
        "postgresql://user:s3cret@/db?host=/nowhere",
        "postgres://user:s3cret@127.0.0.1:1/db",
        "postgresql://user:x@127.0.0.1:1/db?password=s3cret",
    ],
)
@pytest.mark.parametrize("call", [Store.open, upgrade])
def test_a_server_that_cannot_be_reached_is_one_line_without_its_password(
    url: str, call: Callable[[str], object]
) -> None:
    with pytest.raises(UnavailableError, match="cannot be used: connection") as caught:
        call(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "user:***@" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mysql://user:s3cret@host/db", "must be SQLite or PostgreSQL, but got mysql"),
        ("sqlite://", "must be a plain file"),
        ("sqlite:///:memory:", "must be a plain file"),
        ("sqlite:///file:s3cret?mode=memory&uri=true", "must be a plain file"),
        ("s3cret", "cannot be read"),
        ("postgresql://user:s3cret@host:port/db", "cannot be read"),
    ],
)
def test_an_address_of_no_known_database_is_refused(url: str, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match) as caught:
        Store.open(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_sqlite_is_set_up_to_lose_nothing(database_url: str, backend: str) -> None:
    database = Database(database_url)
    with database.read() as connection:
        values = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "page_size")
        }
    database.close()
    expected = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000, "foreign_keys": 1, "page_size": 8192}
    assert values == expected
