"""Scores of jobs for lists: the best and the robust one of each optimizer, and what the job took."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from benchmark import BenchmarkError
from benchmark.robustness import Measure, RobustnessTable
from service.store import Job, NotFoundError
from service.web.access import READ
from service.web.jobs import JOB_ID
from service.web.rendered import json_bytes
from service.web.state import AppState, State

MAX_JOBS = 100
MEASURES = ("best", "grid_mean")
NOT_ENDED = "the job has not ended; its table tells what is recorded so far"
router = APIRouter(prefix="/scores", tags=["results"], dependencies=[READ])


class ScoreShape(BaseModel):
    """A score of a table in short, as `Measure` has it."""

    value: float | None
    raw: float | None
    low: float | None
    high: float | None
    leads: bool = Field(description="whether it is better than each other ranked row, by the interval")
    reason: str | None


class RowScoresShape(BaseModel):
    """The scores of one optimizer on one task."""

    task: str
    optimizer: str
    metric: str
    ranked: bool = Field(description="whether it can be compared with the others")
    best: ScoreShape
    grid_mean: ScoreShape


class JobScoresShape(BaseModel):
    """The scores of a job."""

    job_id: str
    revision: int
    complete: bool | None = Field(description="whether every planned cell has a result; null where there is no table")
    gradient_evaluations: int | None = Field(description="of all its runs together; null where they were not counted")
    elapsed_s: float | None = Field(description="seconds that its runs took, one by one")
    rows: list[RowScoresShape] = Field(description="in the order of the table")
    reason: str | None = Field(description="why there are none")


class Scores(BaseModel):
    """The scores of some jobs."""

    items: list[JobScoresShape] = Field(description="in the order asked for; a job that is not there is left out")


@router.get("", responses={HTTPStatus.OK: {"model": Scores}})
async def list_scores(
    state: State,
    job: Annotated[
        list[Annotated[str, Query(pattern=JOB_ID)]],
        Query(min_length=1, max_length=MAX_JOBS, description="ids of the jobs"),
    ],
) -> Response:
    """Return the best and the mean score of each optimizer of some jobs that have ended, and what they took."""
    ids = list(dict.fromkeys(job))
    found = await run_in_threadpool(state.store.jobs_of, ids)
    items = await asyncio.gather(*(_scores(state, found[one]) for one in ids if one in found))
    content = b",".join(item for item in items if item)
    return Response(b'{"items":[%b]}' % content, media_type="application/json")


async def _scores(state: AppState, job: Job) -> bytes:
    """Return the scores of a job as JSON; nothing where it is gone meanwhile."""
    if not job.state.is_terminal:
        return json_bytes(_values(job, reason=NOT_ENDED))
    try:
        return (await state.rendered.get((job.id, job.revision, "scores"), lambda: _computed(state, job))).content
    except NotFoundError:
        return b""


def _computed(state: AppState, job: Job) -> bytes:
    try:
        table = state.table(job.id, job.revision, None)
        frame = state.frame(job.id, job.revision).frame
    except BenchmarkError as error:
        return json_bytes(_values(job, reason=str(error)))
    n_gradients = _total(frame["gradient_evaluations"])
    took = {
        "gradient_evaluations": None if n_gradients is None else int(n_gradients),
        "elapsed_s": _total(frame["elapsed_s"]),
    }
    return json_bytes(_values(job, complete=table.complete, rows=_rows(table), **took))


def _total(values: pd.Series) -> float | None:
    """Return the sum of what is known; None where nothing is."""
    known = pd.to_numeric(values).dropna()
    return float(known.sum()) if len(known) else None


def _values(job: Job, **known: Any) -> dict[str, Any]:
    unknown: dict[str, Any] = {
        "complete": None,
        "gradient_evaluations": None,
        "elapsed_s": None,
        "rows": [],
        "reason": None,
    }
    return {"job_id": job.id, "revision": job.revision, **unknown, **known}


def _rows(table: RobustnessTable) -> list[dict[str, Any]]:
    metrics = {one.task: one.metric for one in table.tasks}
    return [
        {
            "task": row.task,
            "optimizer": row.optimizer,
            "metric": metrics[row.task],
            "ranked": row.ranked,
            **{name: _score(row.measures[name]) for name in MEASURES},
        }
        for row in table.rows
    ]


def _score(measure: Measure) -> dict[str, Any]:
    kept = {name: getattr(measure, name) for name in ("value", "raw", "low", "high", "reason")}
    return {**kept, "leads": "leads" in measure.flags}
