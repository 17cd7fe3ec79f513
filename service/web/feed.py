"""The feed of changes: one look at the store at a time for all who follow jobs, and an event for each job that changed.

A reader has at most one event waiting for a job, the newest: a slow one misses steps in between and no state.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.states import JobState
from service.store import JobQuery, NotFoundError, Store, StoreError
from service.summary import job_values
from service.web.rendered import json_bytes

LOOK_EVERY_S = 1.0
MAX_PRESENT = 500  # jobs that a reader of all jobs is told of at first
UNENDED = tuple(state for state in JobState if not state.is_terminal)
OF_RECORDS = ("revision", "progress", "fingerprints", "first_record_at")  # what changes with every record
Kind = Literal["job", "records", "end"]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job as it is now, and what of it has changed.

    Attributes:
        kind: `records` where only records came, or cells in flight went on, `end` where the job has ended, else `job`.
        values: those of a `JobShape`.
    """

    kind: Kind
    values: dict[str, Any]
    text: str

    @property
    def job_id(self) -> str:
        """Whose event it is."""
        return str(self.values["id"])

    @property
    def revision(self) -> int:
        """The revision of the job."""
        return int(self.values["revision"])


class _Reader:
    """Somebody who follows a job, or all."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.waiting: dict[str, JobEvent] = {}
        self.told: dict[str, int] = {}
        self.is_over = False
        self.awake = asyncio.Event()

    def tell(self, event: JobEvent) -> None:
        before = self.waiting.get(event.job_id)
        known = self.told.get(event.job_id, 0) if before is None else before.revision
        if self.job_id not in (None, event.job_id) or event.revision <= known:
            return
        if before is not None and (before.kind, event.kind) == ("job", "records"):
            event = JobEvent("job", event.values, event.text)
        self.waiting[event.job_id] = event
        self.awake.set()

    def end(self) -> None:
        self.is_over = True
        self.awake.set()


class Feed:
    """Tells readers of the jobs of a store. Belongs to one event loop, and looks only while somebody reads.

    Args:
        store: open.
        is_stopping: whether all readers are to be let go.
    """

    def __init__(self, store: Store, is_stopping: Callable[[], bool]) -> None:
        self._store = store
        self._is_stopping = is_stopping
        self._readers: set[_Reader] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def n_readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    async def events(self, job_id: str | None) -> AsyncIterator[ServerSentEvent]:
        """Yield the present state, then every change, until the job has ended or is gone, or the server stops.

        Args:
            job_id: whose events; those of all jobs, first of those that have not ended, if None.
        """
        reader = _Reader(job_id)
        self._readers.add(reader)
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            with contextlib.suppress(NotFoundError):
                for event in await run_in_threadpool(self._present, job_id):
                    reader.tell(event)
            while True:
                waiting, reader.waiting = reader.waiting, {}
                reader.awake.clear()
                # noted before it is sent: a look that sees the same revision meanwhile has nothing to tell
                reader.told |= {event.job_id: event.revision for event in waiting.values()}
                for event in waiting.values():
                    yield _sent(event, of_all=job_id is None)
                    if event.kind == "end":
                        if job_id is not None:
                            return
                        reader.told.pop(event.job_id, None)
                if reader.is_over and not reader.waiting:
                    return
                await reader.awake.wait()
        finally:
            self._readers.discard(reader)

    async def _look(self) -> None:
        known: dict[str, JobEvent] = {}
        newest = None
        try:
            while self._readers and not self._is_stopping():
                watched = {reader.job_id for reader in self._readers if reader.job_id is not None}
                try:
                    found = await run_in_threadpool(self._store.revisions, watched | known.keys(), newest)
                    changed = [
                        job_id for job_id, revision in found.of.items() if _revision(known.get(job_id)) != revision
                    ]
                    events = await run_in_threadpool(self._events_of, changed, known) if changed else []
                except StoreError:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                newest = found.newest
                for event in events:
                    known[event.job_id] = event
                    for reader in self._readers:
                        reader.tell(event)
                for reader in self._readers:
                    if reader.job_id in watched and reader.job_id not in found.of:
                        reader.end()
                known = {job_id: one for job_id, one in known.items() if one.kind != "end" or job_id in watched}
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for reader in self._readers:
                reader.end()

    def _present(self, job_id: str | None) -> list[JobEvent]:
        """Return the state with which a reader begins."""
        if job_id is not None:
            return self._events_of([self._store.job(job_id).id], {})
        jobs = self._store.listed(JobQuery(states=UNENDED, limit=MAX_PRESENT))
        return self._events_of([job.id for job in reversed(jobs)], {})

    def _events_of(self, job_ids: Collection[str], known: dict[str, JobEvent]) -> list[JobEvent]:
        jobs = self._store.jobs_of(job_ids)
        progress = self._store.progress_of(jobs)
        found = [job_id for job_id in job_ids if job_id in jobs and job_id in progress]
        return [_event(job_values(jobs[one], progress[one]), known.get(one)) for one in found]


def _event(values: dict[str, Any], before: JobEvent | None) -> JobEvent:
    if JobState(values["state"]).is_terminal:
        kind: Kind = "end"
    elif before is not None and _facts(before.values) == _facts(values):
        kind = "records"
    else:
        kind = "job"
    return JobEvent(kind, values, json_bytes(values).decode())


def _facts(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in OF_RECORDS}


def _revision(event: JobEvent | None) -> int | None:
    return None if event is None else event.revision


def _sent(event: JobEvent, *, of_all: bool) -> ServerSentEvent:
    """Return the event on the wire; among those of all jobs an id names the job too."""
    name = f"{event.job_id}:{event.revision}" if of_all else str(event.revision)
    return ServerSentEvent(raw_data=event.text, event=event.kind, id=name)
