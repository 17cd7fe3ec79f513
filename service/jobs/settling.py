"""Settling: the state of a job that follows from what is recorded and from how its driver ended."""

import socket
from dataclasses import dataclass
from enum import Enum, auto

from service.jobs.child import DriverExit
from service.states import JobState
from service.store import Job, Store

CRASH_DELAY_S = 1.0


class Ending(Enum):
    """Why a driver is not running any more."""

    BY_ITSELF = auto()
    STOPPING = auto()
    CANCELLED = auto()
    OUT_OF_TIME = auto()
    LOST_LEASE = auto()


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt of a job ended: why, with which exit code, and what the driver said."""

    why: Ending
    code: int | None = None
    words: str = ""

    @property
    def lacked_environment(self) -> bool:
        """Whether the machine could not run the job at all: no Ray, no process, no folder."""
        return self.why is Ending.BY_ITSELF and self.code == DriverExit.ENVIRONMENT

    @property
    def lacked_data(self) -> bool:
        """Whether the data of a task is not there, which is for people to bring and no matter for other jobs."""
        return self.why is Ending.BY_ITSELF and self.code == DriverExit.NO_DATA


def settle(store: Store, job: Job, ended: Ended, *, environment_is_fatal: bool, environment_delay_s: float) -> None:
    """Set the state of a job whose attempt has ended.

    What the machine lacks is no fault of the job and does not count as one of its crashes.

    Args:
        store: where the job is.
        job: as it was claimed.
        ended: how the attempt ended.
        environment_is_fatal: whether the job fails where this machine lacks what it needs.
        environment_delay_s: else, how long nobody is to claim it.

    Raises:
        LostLeaseError: when somebody else owns the job, or it was settled before.
    """
    n_done, n_failed = len(store.done_keys(job.id)), len(store.failed_keys(job.id))
    n_to_do = job.n_cells - n_done - n_failed
    if n_to_do == 0 and n_failed == 0:
        store.finish(job.id, job.attempt, JobState.COMPLETED)
    elif ended.why is Ending.CANCELLED:
        store.finish(job.id, job.attempt, JobState.CANCELLED)
    elif ended.why is Ending.OUT_OF_TIME:
        message = f"limits.job_s is used up with {n_to_do:,} of {job.n_cells:,} cells to do; retry with a higher limit."
        store.finish(job.id, job.attempt, JobState.FAILED, error=message)
    elif n_to_do == 0:
        message = f"{n_failed:,} of {job.n_cells:,} cells failed; their records say why, and retry trains them again."
        store.finish(job.id, job.attempt, JobState.FAILED, error=message)
    elif ended.lacked_data or (ended.why is Ending.BY_ITSELF and ended.code == DriverExit.HOPELESS):
        store.finish(job.id, job.attempt, JobState.FAILED, error=ended.words)
    elif ended.why is Ending.STOPPING or (ended.code == DriverExit.DONE and store.job(job.id).requested is not None):
        # Drained for a pause or for a job of higher priority, or this dispatcher ends: the store knows which.
        store.release(job.id, job.attempt, crashed=False)
    elif ended.lacked_environment and environment_is_fatal:
        store.finish(job.id, job.attempt, JobState.FAILED, error=ended.words)
    elif ended.lacked_environment:
        message = f"{socket.gethostname()} cannot run it: {ended.words}"
        store.release(job.id, job.attempt, crashed=False, delay_s=environment_delay_s, error=message)
    else:
        message = f"attempt {job.attempt} on {socket.gethostname()} ended with code {ended.code}: {ended.words}"
        store.release(job.id, job.attempt, crashed=True, delay_s=CRASH_DELAY_S, error=message)
