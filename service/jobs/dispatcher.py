"""The dispatcher: a small supervisor that claims jobs by lease and runs each in a driver process. No Ray in it."""

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

from benchmark.choice import device_name
from benchmark.execution import device_for
from benchmark.fingerprint import own_making
from service.jobs.child import DRIVER_MODULE, DriverExit, DriverProcess, Orders
from service.jobs.patience import Result, persist
from service.jobs.settling import Ended, Ending, settle
from service.settings import Settings
from service.states import JobState, Request
from service.store import Job, LostLeaseError, Store, UnavailableError, complete_url
from service.telemetry import noted

POLL_S = 1.0
TICK_S = 0.1
HEARTBEAT_S = 15.0
LEASE_S = 60.0
DRAIN_S = 3.0  # that a driver has for it where its dispatcher is stopped
ALIVE_WITHIN_S = 3 * HEARTBEAT_S
FIRST_ENVIRONMENT_PAUSE_S, LONGEST_ENVIRONMENT_PAUSE_S = 10.0, 300.0
logger = logging.getLogger("rhobust.dispatcher")


class Dispatcher:
    """Claims one job at a time and supervises its driver until it ends.

    Make and run it in the main thread: the kernel ends a driver with the thread that started it.

    Args:
        store: where the jobs are.
        settings: the data folder, the store's URL, Ray's address, and how many jobs of a submitter run at once.
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
        # Whoever runs a job in the foreground has asked for it now.
        self._max_running = settings.max_running if only is None else None
        self._driver_module = driver_module
        self._stopping = False
        self._next_report = 0.0
        self._environment_pause_s = 0.0
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
                if job is None and self._only is not None and self._is_over():
                    return
                self._wait(POLL_S if job is None else self._run_job(job, on_tick), on_tick)
        finally:
            with contextlib.suppress(UnavailableError):
                self._store.forget_dispatcher(self.id)
            logger.info("dispatcher %s has ended", self.id)

    def _claim(self) -> Job | None:
        try:
            return self._store.claim(self.id, self._lease_s, max_running=self._max_running, only=self._only)
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
            self._report(None)

    def _report(self, job_id: str | None) -> None:
        """Tell the store, once a heartbeat, that this dispatcher lives and what it runs.

        One that runs a single job is no help to the others, and is not counted among those that wait for work.
        """
        if self._only is not None or time.monotonic() < self._next_report:
            return
        resources = {
            "cpus": self._n_cpus or os.cpu_count(),
            "ray_address": self._settings.ray_address,
            "devices": _devices(),
            "made_by": own_making(),
        }
        try:
            self._store.report_dispatcher(
                self.id,
                socket.gethostname(),
                os.getpid(),
                version("rhobust"),
                resources,
                job_id,
                claims=not self._environment_pause_s,
            )
            self._next_report = time.monotonic() + self._heartbeat_s
        except UnavailableError as error:
            logger.warning("cannot report: %s", error)

    def _run_job(self, job: Job, on_tick: Callable[[], None]) -> float:
        """Run one attempt of a job; return for how many seconds nothing is to be claimed after it."""
        with noted(job_id=job.id, attempt=job.attempt):
            return self._run_noted_job(job, on_tick)

    def _run_noted_job(self, job: Job, on_tick: Callable[[], None]) -> float:
        logger.info("job %s (%s): attempt %d", job.id, job.name, job.attempt)
        self._next_report = 0.0
        try:
            ended = self._attempt(job, on_tick)
            pause_s = self._pause_after(ended)
            if ended.why is Ending.LOST_LEASE:
                raise LostLeaseError(f"attempt {job.attempt} of job {job.id} has lost its lease")
            is_fatal = self._environment_is_fatal
            self._persist(
                lambda: settle(self._store, job, ended, environment_is_fatal=is_fatal, environment_delay_s=pause_s),
                f"the end of job {job.id}",
            )
        except LostLeaseError as error:
            # Either somebody took over, or an earlier try was committed and its answer lost: settled both ways.
            logger.warning("job %s: %s", job.id, error)
            pause_s = 0.0
        except UnavailableError as error:
            logger.error("job %s is left to its lease: %s", job.id, error)
            pause_s = POLL_S
        self._next_report = 0.0
        logger.info("job %s (%s): attempt %d has ended", job.id, job.name, job.attempt)
        return pause_s

    def _attempt(self, job: Job, on_tick: Callable[[], None]) -> Ended:
        done = self._persist(
            lambda: self._store.done_keys(job.id) | self._store.failed_keys(job.id), f"the start of job {job.id}"
        )
        if len(done) == job.n_cells:
            # Its owner died between the last record and the end: nothing is left to start Ray for.
            return Ended(Ending.BY_ITSELF, DriverExit.DONE)
        orders = Orders(
            database_url=complete_url(self._settings.store_url),
            job_id=job.id,
            attempt=job.attempt,
            lease_s=self._lease_s,
            ray_address=self._settings.ray_address,
            n_cpus=self._n_cpus,
            parent_pid=os.getpid(),
            plugins=self._settings.plugins,
        )
        log_path = self._settings.log_path(job.id)
        try:
            driver = DriverProcess.start(orders, log_path, self._driver_module)
        except OSError as error:
            return Ended(Ending.BY_ITSELF, DriverExit.ENVIRONMENT, f"no driver can be started: {error}")
        try:
            ended = self._supervise(job, driver, on_tick)
        finally:
            driver.stop()
        return ended if ended.words else replace(ended, words=f"see {log_path}")

    def _pause_after(self, ended: Ended) -> float:
        """Return how long to claim nothing: longer with every attempt that this machine could not even start."""
        self.met_environment_error |= ended.lacked_environment or ended.lacked_data
        if not ended.lacked_environment:
            self._environment_pause_s = 0.0
            return 0.0
        if self._environment_is_fatal:
            return 0.0
        longer = max(2 * self._environment_pause_s, FIRST_ENVIRONMENT_PAUSE_S)
        self._environment_pause_s = min(longer, LONGEST_ENVIRONMENT_PAUSE_S)
        logger.error("%s; no job is claimed for %g s", ended.words, self._environment_pause_s)
        return self._environment_pause_s

    def _persist(self, action: Callable[[], Result], what: str) -> Result:
        # Beyond a lease somebody else may own the job, and then nothing is ours to settle.
        return persist(action, what, give_up_s=self._lease_s, should_stop=lambda: self._stopping)

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
                driver.drain()  # long cells are kept as they are, and go on elsewhere
                driver.wait(DRAIN_S)
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
                    if self._only is None:
                        self._store.preempt_candidate(ALIVE_WITHIN_S, max_running=self._max_running)
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


def host_of(dispatcher_id: str) -> str:
    """Return the host of a dispatcher, which its id tells."""
    return dispatcher_id.rsplit("-", 2)[0]


def _devices() -> dict[str, str]:
    """Return the names of the devices of this machine by their types: its CPU, and its accelerator if it has one."""
    devices = (device_for(use_gpu=use_gpu) for use_gpu in (False, True))
    return {device.type: device_name(device) for device in devices}
