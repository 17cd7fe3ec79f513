"""What every handler of the app shares: the store, the settings, and tables that need not be computed twice."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from threading import BoundedSemaphore, Lock
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from benchmark import Status
from benchmark.robustness import HeldEqual, RobustnessTable
from service.making import rendering
from service.results import JobFrame, job_frame, job_table, table_of_frame
from service.settings import Settings
from service.store import Job, Progress, RecordFilter, Store, StoredRecord
from service.web.feed import Feed
from service.web.kept import KeptFiles
from service.web.metrics import Metrics
from service.web.rates import RateLimit
from service.web.rendered import RenderedCache
from service.web.summaries import Summaries

N_CACHED_TABLES = 8
N_CACHED_FRAMES = 2  # of a job of 100,000 cells it takes some 60 MB
N_CACHED_MISSING = 32
N_FIRST_MISSING = 5
KEYLESS_S = 0.5  # for which it holds that there is no key: another process may make the first
MAX_READING = 2  # short reads at once: more take the interpreter from each other, and the last waits long
MAX_PAGES_BYTES = 16 * 1024**2  # of records: who reads all of them is not to drive out what takes long to compute
MAX_EXPORTS = 8  # each holds some ten megabytes of rows
T = TypeVar("T")


class AppState:
    """The store and the settings of one app.

    Args:
        store: open.
        settings: of the server.
        is_exposed: whether others than this machine can reach the server, so that a key is needed in any case.

    Attributes:
        exports: places for files of records that are being sent.
        rate_limit: of whoever brings a key, or none where one is needed.
        is_stopping: whether the server is about to end: a response that would go on for long ends now.
    """

    def __init__(self, store: Store, settings: Settings, *, is_exposed: bool = False) -> None:
        self.store = store
        self.settings = settings
        self.rate_limit = RateLimit(settings.max_requests_per_s)
        self.metrics = Metrics(store)
        self._needs_key = is_exposed
        self._open_until = 0.0
        self.is_stopping = False
        self.n_followers = 0
        self.exports = BoundedSemaphore(MAX_EXPORTS)
        self.rendered = RenderedCache(KeptFiles(settings.rendered_dir, rendering()))
        self.pages = RenderedCache(max_bytes=MAX_PAGES_BYTES)
        self.summaries = Summaries(store)
        self.feed = Feed(store, lambda: self.is_stopping)
        self._table = lru_cache(N_CACHED_TABLES)(self._compute_table)
        self._frame = lru_cache(N_CACHED_FRAMES)(self._read_frame)
        self._reading = Lock()
        self._short_reads = CapacityLimiter(MAX_READING)
        self._first_missing = lru_cache(N_CACHED_MISSING)(self._read_first_missing)

    @property
    def is_closed(self) -> bool:
        """Whether it is known already that a request must bring a key."""
        return self._needs_key

    @property
    def is_open(self) -> bool:
        """Whether it is known already that no request needs a key now."""
        return not self._needs_key and time.monotonic() < self._open_until

    def needs_key(self) -> bool:
        """Whether a request must bring a key: once there was one, for ever; it is looked up unless it is known."""
        if self._needs_key:
            return True
        began = time.monotonic()
        if self.store.has_keys():
            self._needs_key = True
        else:
            self._open_until = began + KEYLESS_S
        return self._needs_key

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a short read of the store gives, in one of few threads; raises what that does."""
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._short_reads)

    def table(self, job_id: str, revision: int, view: HeldEqual | None) -> RobustnessTable:
        """Return the robustness table of a job at a revision; its formats are rendered from the same one.

        Raises:
            NotFoundError: when there is no job of that id.
            TableError: where the view cannot be read off the curves.
        """
        # seconds are those of measurements, which go on without the job
        table = self._compute_table if view == "equal_seconds" else self._table
        return table(job_id, revision, view)

    def frame(self, job_id: str, revision: int) -> JobFrame:
        """Return the frame of a job at a revision: of many cells it takes seconds to read, and every figure needs it.

        Raises:
            NotFoundError: when there is no job of that id.
            ForgottenNameError: when it names what is not known here.
        """
        with self._reading:  # a page asks for a table and figures at once, which need the same
            return self._frame(job_id, revision)

    def first_missing(self, job: Job, progress: Progress) -> tuple[StoredRecord, ...]:
        """Return the first few records of a job that failed, then of those that timed out; raises NotFoundError."""
        counts = ((Status.FAILED, progress.failed), (Status.TIMED_OUT, progress.timed_out))
        if not any(count for _, count in counts):
            return ()
        # To find one among many thousands takes a while, and everybody who looks at a job asks.
        return self._first_missing(job.id, job.revision, counts)

    def _read_first_missing(
        self, job_id: str, _revision: int, counts: tuple[tuple[Status, int], ...]
    ) -> tuple[StoredRecord, ...]:
        found: list[StoredRecord] = []
        for status, count in counts:
            limit = min(count, N_FIRST_MISSING - len(found))
            if limit:
                found += self.store.records(job_id, None, limit, RecordFilter(status=status), curves=False)
        return tuple(found)

    def _compute_table(self, job_id: str, revision: int, view: HeldEqual | None) -> RobustnessTable:
        if view is None:
            return table_of_frame(self.store, self.frame(job_id, revision))
        return job_table(self.store, job_id, view)

    def _read_frame(self, job_id: str, _revision: int) -> JobFrame:
        return job_frame(self.store, job_id)


def state_of(request: HTTPConnection) -> AppState:
    """Return the state of the app that serves a request."""
    state = request.app.state.rhobust
    if not isinstance(state, AppState):
        raise TypeError(f"the app must be made by create_app, but its state is {type(state).__name__}.")
    return state


async def _state(connection: HTTPConnection) -> AppState:
    return state_of(connection)


State = Annotated[AppState, Depends(_state)]
