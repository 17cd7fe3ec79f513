"""The metrics of a server, as Prometheus reads them: of its requests, of its process, and of the store."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from benchmark import Status
from service.build import build
from service.jobs.dispatcher import ALIVE_WITHIN_S
from service.states import JobState
from service.store import Store, StoreError
from service.store.census import Census

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"  # the one label of all routes and methods that are not ours
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
KEPT_S = 5.0


class Metrics:
    """The metrics of one app, in a registry of its own.

    Args:
        store: whose jobs and cells are counted when somebody asks.
    """

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rhobust_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._answer_s = Histogram(
            "rhobust_http_answer_seconds",
            "Seconds until an answer began; one that goes on for long, as a log that is followed, counts no longer.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "rhobust_http_requests_in_flight", "Requests that are being answered.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        facts = {name: value or "" for name, value in build().to_dict().items()}
        Info("rhobust_build", "What is running.", registry=self._registry).info(facts)
        self._registry.register(StoreCollector(store))

    def one_more_in_flight(self) -> AbstractContextManager[None]:
        """Return a context in which one request more is being answered."""
        return self._in_flight.track_inprogress()

    def count_request(self, method: str, route: str, status: int, answer_s: float) -> None:
        """Count a request.

        Args:
            method: of HTTP, or `other`.
            route: the template of its route, or `other`.
            status: of the answer.
            answer_s: seconds until that began.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._answer_s.labels(method, route).observe(answer_s)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format, of the type `MEDIA_TYPE`."""
        return generate_latest(self._registry)


class StoreCollector(Collector):
    """Counts jobs, cells and dispatchers when somebody asks, and remembers it for a moment.

    However many ask at once, one of them reads the database, and the others do not wait for one that is slow or away.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = threading.Lock()
        self._has_read = False
        self._fresh_until = 0.0
        self._census: Census | None = None

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing: to be registered is no reason to read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what the store holds; that the database is away is a value too, and then the only one."""
        census = self._current()
        yield GaugeMetricFamily("rhobust_database_up", "Whether the database answers.", value=float(census is not None))
        if census is None:
            return
        jobs = GaugeMetricFamily("rhobust_jobs", "Jobs by their state.", labels=["state"])
        for state in JobState:
            jobs.add_metric([state], census.jobs.get(state, 0))
        yield jobs
        yield GaugeMetricFamily(
            "rhobust_oldest_queued_job_age_seconds",
            "Seconds since the oldest of the queued jobs was submitted; 0 while none is queued.",
            value=census.oldest_queued_s,
        )
        cells = GaugeMetricFamily(
            "rhobust_cells",
            "Cells with a record, by its status; reused where another job trained it.",
            labels=["status", "reused"],
        )
        for status in Status:
            for reused in (False, True):
                cells.add_metric([status, str(reused).lower()], census.cells.get((status, reused), 0))
        yield cells
        yield GaugeMetricFamily(
            "rhobust_cells_per_second",
            "Cells that the running jobs train a second, on average since the first record of each one's attempt.",
            value=census.cells_per_s,
        )
        yield GaugeMetricFamily(
            "rhobust_dispatchers_alive",
            f"Dispatchers that reported within {ALIVE_WITHIN_S:g} s.",
            value=census.n_dispatchers,
        )
        pending = GaugeMetricFamily(
            "rhobust_webhook_deliveries_pending",
            "Messages to webhooks that are to be sent; tried where that was tried before.",
            labels=["tried"],
        )
        for tried in (False, True):
            pending.add_metric([str(tried).lower()], census.pending[tried])
        yield pending
        yield GaugeMetricFamily(
            "rhobust_oldest_due_webhook_delivery_age_seconds",
            "Seconds since the message to a webhook that has waited longest was due; 0 while none is.",
            value=census.oldest_due_s,
        )
        yield GaugeMetricFamily(
            "rhobust_webhook_deliveries_given_up",
            "Messages to webhooks that were given up in the last 24 hours.",
            value=census.n_given_up,
        )

    def _current(self) -> Census | None:
        # Only the first reading of all has to be waited for: afterwards there is something to show.
        if time.monotonic() >= self._fresh_until and self._reading.acquire(blocking=not self._has_read):
            try:
                if time.monotonic() >= self._fresh_until:
                    self._census = self._read()
                    self._has_read = True
                    self._fresh_until = time.monotonic() + KEPT_S
            finally:
                self._reading.release()
        return self._census

    def _read(self) -> Census | None:
        try:
            return self._store.census(ALIVE_WITHIN_S)
        except StoreError:
            return None
