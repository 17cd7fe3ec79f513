"""Dispatchers as processes, each as if on a machine of its own, and what became of the jobs that they ran."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from service.jobs.child import DRIVER_MODULE, session_members
from service.store import Job, Store
from tests.service.processes import START_S, environment, until

JOB_S = 150.0


class Host:
    """A dispatcher's process with its log and its data folder, as if on a machine of its own.

    Args:
        url: of the database.
        folder: to be made, for the log and the data folder.
        driver_module: what its drivers run.
        changes: of its environment.
    """

    def __init__(self, url: str, folder: Path, driver_module: str = DRIVER_MODULE, **changes: str) -> None:
        folder.mkdir()
        self.data_dir = folder / "data"
        self._driver_module = driver_module
        self.log = folder / "dispatcher.log"
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.jobs.short_leases", driver_module],
                env=environment(self.data_dir, RHOBUST_DATABASE_URL=url, **changes),
                stdout=stream,
                stderr=stream,
            )

    def driver(self) -> psutil.Process | None:
        """Return the driver's process, once there is one."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if self._driver_module in child.cmdline():
                    return child
        return None

    def started_driver(self) -> psutil.Process:
        """Wait for the driver's process, and return it."""
        until(lambda: self.driver() is not None, f"a driver runs; {self.log.read_text()}", START_S)
        driver = self.driver()
        assert driver is not None
        return driver

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
def host(url: str, folder: Path, driver_module: str = DRIVER_MODULE, **changes: str) -> Iterator[Host]:
    """Run a dispatcher beside the test."""
    opened = Host(url, folder, driver_module, **changes)
    try:
        yield opened
    finally:
        opened.close()


def n_recorded(store: Store, job: Job) -> int:
    """Return how many cells of a job have a record."""
    return store.progress(job.id).n_linked


def wait_for_end(store: Store, job: Job, *hosts: Host) -> Job:
    """Wait until a job has ended; the logs of its hosts say why it did not."""
    logs = "\n".join(one.log.read_text() for one in hosts)
    until(lambda: store.job(job.id).state.is_terminal, f"the job ends; {logs}", JOB_S)
    return store.job(job.id)


def attempts(store: Store, job: Job) -> dict[str, int]:
    """Return the attempt that trained each cell."""
    return {stored.record.config_key: stored.attempt for stored in store.iter_records(job.id, curves=False)}
