"""What every handler of the app shares: the store, the settings, and tables that need not be computed twice."""

from functools import lru_cache
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from benchmark import Status
from benchmark.robustness import HeldEqual, RobustnessTable
from service.results import job_table
from service.settings import Settings
from service.store import Job, Progress, Store, StoredRecord
from service.web.feed import Feed
from service.web.metrics import Metrics
from service.web.rates import RateLimit
from service.web.rendered import RenderedCache
from service.web.summaries import Summaries

N_CACHED_TABLES = 8
N_CACHED_MISSING = 32
N_FIRST_MISSING = 5


class AppState:
    """The store and the settings of one app.

    Args:
        store: open.
        settings: of the server.
        is_exposed: whether others than this machine can reach the server, so that a key is needed in any case.

    Attributes:
        rate_limit: of whoever brings a key, or none where one is needed.
        is_stopping: whether the server is about to end: a response that would go on for long ends now.
    """

    def __init__(self, store: Store, settings: Settings, *, is_exposed: bool = False) -> None:
        self.store = store
        self.settings = settings
        self.rate_limit = RateLimit(settings.max_requests_per_s)
        self.metrics = Metrics(store)
        self._needs_key = is_exposed
        self.is_stopping = False
        self.n_followers = 0
        self.n_exports = 0
        self.rendered = RenderedCache()
        self.summaries = Summaries(store)
        self.feed = Feed(store, lambda: self.is_stopping)
        self._table = lru_cache(N_CACHED_TABLES)(self._compute_table)
        self._first_missing = lru_cache(N_CACHED_MISSING)(self._read_first_missing)

    @property
    def is_closed(self) -> bool:
        """Whether it is known already that a request must bring a key."""
        return self._needs_key

    def needs_key(self) -> bool:
        """Whether a request must bring a key: once there was one, for ever."""
        self._needs_key = self._needs_key or self.store.has_keys()
        return self._needs_key

    def table(self, job_id: str, revision: int, view: HeldEqual | None) -> RobustnessTable:
        """Return the robustness table of a job at a revision; its formats are rendered from the same one.

        Raises:
            NotFoundError: when there is no job of that id.
            TableError: where the view cannot be read off the curves.
        """
        # seconds are those of measurements, which go on without the job
        table = self._compute_table if view == "equal_seconds" else self._table
        return table(job_id, revision, view)

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
                found += self.store.records(job_id, limit=limit, status=status, curves=False)
        return tuple(found)

    def _compute_table(self, job_id: str, _revision: int, view: HeldEqual | None) -> RobustnessTable:
        return job_table(self.store, job_id, view)


def state_of(request: HTTPConnection) -> AppState:
    """Return the state of the app that serves a request."""
    state = request.app.state.rhobust
    if not isinstance(state, AppState):
        raise TypeError(f"the app must be made by create_app, but its state is {type(state).__name__}.")
    return state


State = Annotated[AppState, Depends(state_of)]
