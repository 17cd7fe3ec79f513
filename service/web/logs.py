"""The log of a job's drivers: its end, and what is appended to it until the job has ended."""

import asyncio
import socket
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.jobs.dispatcher import host_of
from service.logs import MAX_TAIL_LINES, LogReader
from service.states import JobState
from service.store import Job, NotFoundError, StoreError
from service.web.access import READ
from service.web.jobs import JobId
from service.web.state import AppState, State

FOLLOW_POLL_S = 0.5
MAX_FOLLOWERS, FOLLOW_LATER_S = 50, 60  # each holds one of the server's connections, perhaps for days
TEXT = "text/plain; charset=utf-8"
router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], dependencies=[READ])


@router.get("/logs", response_class=PlainTextResponse, response_description="the log, as plain text")
def get_log(
    state: State,
    job_id: JobId,
    tail: Annotated[int, Query(ge=0, le=MAX_TAIL_LINES, description="so many of the last lines")] = 200,
    follow: Annotated[bool, Query(description="go on with what is appended until the job has ended")] = False,
) -> Response:
    """Return the end of the log of a job's drivers, with control characters made visible."""
    job = state.store.job(job_id)
    reader = LogReader(state.settings.log_path(job.id), state.settings.log_dir)
    text = reader.tail(tail)
    if text is None and not (follow and _may_come(job)):
        raise NotFoundError(_why_none(job))
    if text is not None and _is_elsewhere(job):
        text += (
            f"(job {job.id} is run on {_host(job)} now: unless that shares our data folder, its log goes on there)\n"
        )
    if follow:
        if state.n_followers >= MAX_FOLLOWERS:
            detail = f"{state.n_followers} logs are followed already, and more would keep others out; try again later."
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(FOLLOW_LATER_S)})
        return StreamingResponse(_followed(state, job, reader, text), media_type=TEXT)
    return PlainTextResponse(text, media_type=TEXT)


async def _followed(state: AppState, job: Job, reader: LogReader, text: str | None) -> AsyncIterator[str]:
    """Yield the log's text and what is appended to it, counted among those that follow one."""
    state.n_followers += 1
    try:
        async for piece in _pieces(state, job, reader, text):
            yield piece
    finally:
        state.n_followers -= 1


async def _pieces(state: AppState, job: Job, reader: LogReader, text: str | None) -> AsyncIterator[str]:
    """Yield the text and what is appended; between two looks no thread and no descriptor is held."""
    if text:
        yield text
    is_there = text is not None
    while True:
        try:
            job = await run_in_threadpool(state.store.job, job.id)
        except NotFoundError:
            return
        except StoreError:
            pass  # the log may well tell more than the database just now
        # The job was looked at before: of one that has ended, what is read now is the rest.
        while not state.is_stopping and (piece := await run_in_threadpool(reader.more)):
            is_there = True
            yield piece
        if job.state.is_terminal or not (is_there or _may_come(job)):
            break
        if state.is_stopping:
            yield "(the server stops; follow the log again when it is back)\n"
            return
        await asyncio.sleep(FOLLOW_POLL_S)
    if not is_there:
        yield f"{_why_none(job)}\n"


def _host(job: Job) -> str | None:
    """Return the host that runs a job; None while nobody does."""
    return None if job.owner is None else host_of(job.owner)


def _is_elsewhere(job: Job) -> bool:
    return _host(job) not in (None, socket.gethostname())


def _may_come(job: Job) -> bool:
    """Whether a log that is not there may yet be written on this host."""
    return not job.state.is_terminal and not _is_elsewhere(job)


def _why_none(job: Job) -> str:
    name = f"logs/{job.id}.log in the data folder"
    if _is_elsewhere(job):
        return f"job {job.id} has its log on {_host(job)}, the host that runs it: {name} there."
    if not job.attempt or job.state is JobState.RUNNING:
        return f"job {job.id} has no log yet: no driver of it has started; follow it to wait for one."
    return f"job {job.id} has no log on this host: it is {name} of the host that ran it, if a driver had to start."
