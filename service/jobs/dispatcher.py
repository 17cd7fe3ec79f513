"""The dispatcher: a small supervisor that claims jobs by lease and runs each in a driver process. No Ray in it."""

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from importlib.metadata import version

from service.jobs.child import DRIVER_MODULE, DriverExit, DriverProcess, Orders
from service.jobs.patience import persist
from service.settings import Settings
from service.states import JobState, Request
from service.store import Job, LostLeaseError, Store, UnavailableError

POLL_S = 1.0
TICK_S = 0.1
HEARTBEAT_S = 15.0
LEASE_S = 60.0
ALIVE_HEARTBEATS = 3
ENVIRONMENT_DELAY_S = 10.0
CRASH_DELAY_S = 1.0
logger = logging.getLogger("rhobust.dispatcher")


class Ending(Enum):
    """Why a driver is not running any more."""

    BY_ITSELF = auto()
    STOPPING = auto()
    CANCELLED = auto()
    OUT_OF_TIME = auto()
    LOST_LEASE = auto()


@dataclass(frozen=True, slots=True)
class Ended:
    """How supervising one attempt of a job ended."""

    why: Ending
    code: int | None = None
    words: str = ""


class Dispatcher:
    """Claims one job at a time and supervises its driver until it ends.

    Make and run it in the main thread: the kernel ends a driver with the thread that started it.

    Args:
        store: where the jobs are.
        settings: the data folder, the store's URL and Ray's address.
        n_cpus: CPUs that a local Ray offers; None offers all.
        only: id of the one job to run; None runs whatever is queued.
        lease_s: how long a claim holds without a renewal.
        heartbeat_s: seconds between renewals.
        environment_is_fatal: whether a job fails at once where Ray does not start, and does not wait for a better host.
        driver_module: what a driver process runs.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        n_cpus: int | None = None,
        only: str | None = None,
        lease_s: float = LEASE_S,
        heartbeat_s: float = HEARTBEAT_S,
        environment_is_fatal: bool = False,
        driver_module: str = DRIVER_MODULE,
    ) -> None:
        self._store, self._settings, self._n_cpus, self._only = store, settings, n_cpus, only
        self._lease_s, self._heartbeat_s = lease_s, heartbeat_s
        self._environment_is_fatal = environment_is_fatal
        self._driver_module = driver_module
        self._stopping = False
        self._next_report = 0.0
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.met_environment_error = False

    def stop(self) -> None:
        """Have `run` return soon; the running job goes back into the queue. May be called from a signal handler."""
        self._stopping = True

    def run(self, on_tick: Callable[[], None] = lambda: None) -> None:
        """Run jobs until `stop` is called or, with `only`, until that job is no longer to be run here.

        Args:
            on_tick: called several times a second.
        """
        logger.info("dispatcher %s is ready", self.id)
        try:
            while not self._stopping:
                self._report(None)
                job = self._claim()
                if job is not None:
                    self._run_job(job, on_tick)
                elif self._only is not None and self._is_over():
                    return
                else:
                    self._wait(POLL_S, on_tick)
        finally:
            with contextlib.suppress(UnavailableError):
                self._store.forget_dispatcher(self.id)
            logger.info("dispatcher %s has ended", self.id)

    def _claim(self) -> Job | None:
        try:
            return self._store.claim(self.id, self._lease_s, only=self._only)
        except UnavailableError as error:
            logger.warning("cannot claim a job: %s", error)
            return None

    def _is_over(self) -> bool:
        try:
            state = self._store.job(self._only or "").state
        except UnavailableError:
            return False
        return state.is_terminal or state is JobState.PAUSED

    def _wait(self, seconds: float, on_tick: Callable[[], None]) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(TICK_S)
            on_tick()

    def _report(self, job_id: str | None) -> None:
        """Tell the store, once a heartbeat, that this dispatcher lives and what it runs."""
        if time.monotonic() < self._next_report:
            return
        resources = {"cpus": self._n_cpus or os.cpu_count(), "ray_address": self._settings.ray_address}
        try:
            self._store.report_dispatcher(
                self.id, socket.gethostname(), os.getpid(), version("rhobust"), resources, job_id
            )
            self._next_report = time.monotonic() + self._heartbeat_s
        except UnavailableError as error:
            logger.warning("cannot report: %s", error)

    def _run_job(self, job: Job, on_tick: Callable[[], None]) -> None:
        logger.info("job %s (%s): attempt %d", job.id, job.name, job.attempt)
        self._next_report = 0.0
        done = persist(lambda: self._store.done_keys(job.id), f"the start of job {job.id}")
        if len(done) == job.n_cells:
            # Its owner died between the last record and the end: nothing is left to start Ray for.
            self._settle(job, Ended(Ending.BY_ITSELF, DriverExit.DONE))
            return
        orders = Orders(
            database_url=self._settings.store_url,
            job_id=job.id,
            attempt=job.attempt,
            lease_s=self._lease_s,
            ray_address=self._settings.ray_address,
            n_cpus=self._n_cpus,
            parent_pid=os.getpid(),
        )
        driver = DriverProcess.start(orders, self._settings.log_path(job.id), self._driver_module)
        try:
            ended = self._supervise(job, driver, on_tick)
        finally:
            driver.stop()
        self._next_report = 0.0
        self._settle(job, ended)

    def _supervise(self, job: Job, driver: DriverProcess, on_tick: Callable[[], None]) -> Ended:
        """Watch a driver until it ends or has to be ended."""
        job_s = float(job.spec["limits"]["job_s"])
        started = renewed = time.monotonic()
        next_poll = started + POLL_S
        while (code := driver.wait(TICK_S)) is None:
            on_tick()
            self._report(job.id)
            now = time.monotonic()
            if self._stopping:
                return Ended(Ending.STOPPING)
            if now - started > job_s:
                return Ended(Ending.OUT_OF_TIME)
            if now < next_poll:
                continue
            next_poll = now + POLL_S
            try:
                if now - renewed >= self._heartbeat_s:
                    requested = self._store.renew(job.id, job.attempt, self._lease_s)
                    renewed = now
                    self._store.preempt_candidate(ALIVE_HEARTBEATS * self._heartbeat_s)
                else:
                    requested = self._store.requested(job.id, job.attempt)
            except LostLeaseError:
                return Ended(Ending.LOST_LEASE)
            except UnavailableError as error:
                logger.warning("job %s: no word from the database: %s", job.id, error)
                if now - renewed > self._lease_s:
                    # Somebody else may own the job by now, and this host may be the one that is cut off.
                    return Ended(Ending.LOST_LEASE)
                continue
            if requested == Request.CANCEL:
                return Ended(Ending.CANCELLED)
            if requested is not None:
                driver.drain()
        return Ended(
            Ending.LOST_LEASE if code == DriverExit.LOST_LEASE else Ending.BY_ITSELF, code, driver.last_words()
        )

    def _settle(self, job: Job, ended: Ended) -> None:
        """Set the state that follows from what is recorded and from how the driver ended."""
        if ended.why is Ending.LOST_LEASE:
            logger.warning("job %s: attempt %d has lost its lease", job.id, job.attempt)
            return
        try:
            persist(lambda: self._settle_once(job, ended), f"the end of job {job.id}")
        except LostLeaseError:
            # Either somebody took over, or an earlier try was committed and its answer lost: settled both ways.
            logger.warning("job %s: attempt %d was settled before", job.id, job.attempt)
        logger.info("job %s (%s): attempt %d has ended", job.id, job.name, job.attempt)

    def _settle_once(self, job: Job, ended: Ended) -> None:
        n_done, n_failed = len(self._store.done_keys(job.id)), len(self._store.failed_keys(job.id))
        n_to_do = job.n_cells - n_done - n_failed
        if n_to_do == 0 and n_failed == 0:
            self._store.finish(job.id, job.attempt, JobState.COMPLETED)
        elif ended.why is Ending.CANCELLED:
            self._store.finish(job.id, job.attempt, JobState.CANCELLED)
        elif ended.why is Ending.OUT_OF_TIME:
            message = (
                f"limits.job_s is used up with {n_to_do:,} of {job.n_cells:,} cells to do; retry with a higher limit."
            )
            self._store.finish(job.id, job.attempt, JobState.FAILED, error=message)
        elif n_to_do == 0:
            message = (
                f"{n_failed:,} of {job.n_cells:,} cells failed; their records say why, and retry trains them again."
            )
            self._store.finish(job.id, job.attempt, JobState.FAILED, error=message)
        elif ended.why is Ending.STOPPING or ended.code == DriverExit.DONE:
            # Drained for a pause or for a job of higher priority, or this dispatcher ends: the store knows which.
            self._store.release(job.id, job.attempt, crashed=False)
        elif ended.code == DriverExit.ENVIRONMENT and self._environment_is_fatal:
            self.met_environment_error = True
            self._store.finish(job.id, job.attempt, JobState.FAILED, error=ended.words)
        else:
            delay_s = ENVIRONMENT_DELAY_S if ended.code == DriverExit.ENVIRONMENT else CRASH_DELAY_S
            words = ended.words or "its log says more"
            message = f"attempt {job.attempt} on {socket.gethostname()} ended with code {ended.code}: {words}"
            self._store.release(job.id, job.attempt, crashed=True, delay_s=delay_s, error=message)
