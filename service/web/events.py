"""Server-sent events: what becomes of a job, or of all, as it happens."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.web.access import READ
from service.web.jobs import JobId
from service.web.state import State

MAX_READERS, READ_LATER_S = 50, 60  # each holds one of the server's connections, perhaps for days
router = APIRouter(tags=["jobs"], dependencies=[READ])


async def _room(state: State) -> None:
    """Refuse a reader for whom there is no room."""
    if state.feed.n_readers >= MAX_READERS:
        detail = f"{state.feed.n_readers} read events already, and more would keep others out; try again later."
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(READ_LATER_S)})


async def _known(state: State, job_id: JobId) -> str:
    """Return the id of a job that is there: what is wrong is told before the stream begins."""
    return (await run_in_threadpool(state.store.job, job_id)).id


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, dependencies=[Depends(_room)])
async def follow_job(state: State, job_id: Annotated[str, Depends(_known)]) -> AsyncIterator[ServerSentEvent]:
    """Follow a job until it has ended: its present state, then each change.

    Events are `job`, `records` (only records came, or cells in flight went on) and `end`; the data is the job as in a
    list, the id its revision.
    Who connects again is told the present state and not what was missed. A comment comes each 15 s at least.
    """
    async for event in state.feed.events(job_id):
        yield event


@router.get("/events", response_class=EventSourceResponse, dependencies=[Depends(_room)])
async def follow_jobs(state: State) -> AsyncIterator[ServerSentEvent]:
    """Follow all jobs: those that have not ended as they are, then each change of any; ids are `JOB:REVISION`."""
    async for event in state.feed.events(None):
        yield event
