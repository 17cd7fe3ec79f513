"""Calls on reruns: what came of training again."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from benchmark.records import Scalar
from benchmark.regression import Sameness
from service.repeated import rerun_answer
from service.states import JobState
from service.web.access import READ
from service.web.jobs import JobId
from service.web.negotiation import JSON
from service.web.problems import errors
from service.web.rendered import json_bytes
from service.web.sending import sent
from service.web.state import State

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=[READ])


class RepeatedRecordShape(BaseModel):
    """A record, and the one of the same cell that was trained again."""

    config_key: str
    task: str | None = Field(description="null where the spec has the cell no more")
    optimizer: str | None
    hyperparameters: dict[str, Scalar]
    seed: int
    before: str = Field(description="id of the first record")
    again: str | None = Field(description="id of the new record; null while there is none")
    verdict: Sameness | None = Field(
        description="identical: the same code, libraries, data and pack, and every number the same to the "
        "last bit, time apart; within_noise: else, the scores are within the tolerance of the task"
    )
    reason: str | None = Field(description="why it is not identical, or there is no verdict")
    differences: dict[str, float] = Field(description="of each score, again less before, in raw units")


class SamenessCounts(BaseModel):
    """How many of the records that were asked for are what."""

    identical: int
    within_noise: int
    different: int
    not_compared: int


class RerunAnswerShape(BaseModel):
    """What came of training again, of what is recorded so far."""

    job_id: str
    rerun_of: str = Field(description="the job whose packs were trained again; it may be gone")
    state: JobState
    verdict: Sameness | None = Field(
        description="on all records: what the worst of them is; where a whole calibrated baseline was trained again, "
        "what its limits say"
    )
    reason: str | None = Field(description="why it is not identical, or there is no verdict")
    baseline: str | None = Field(description="name of the baseline whose limits decided; null where tolerances did")
    tolerances: dict[str, float] = Field(description="of the scores of a record by task, in raw units")
    counts: SamenessCounts
    records: list[RepeatedRecordShape] = Field(description="by config_key; those that are still there")


@router.get(
    "/rerun",
    responses={HTTPStatus.OK: {"model": RerunAnswerShape}, **errors(HTTPStatus.NOT_MODIFIED, HTTPStatus.CONFLICT)},
)
async def get_rerun(request: Request, state: State, job_id: JobId) -> Response:
    """Return whether a job that trains another one again gave the same; 404 for a job that repeats none."""
    revision = (await run_in_threadpool(state.store.job, job_id)).revision

    def render() -> bytes:
        return json_bytes(rerun_answer(state.store, job_id).to_dict())

    # the records of then may go with the job that had them
    rendered = await state.rendered.get((job_id, revision, "rerun"), render, keep=False)
    return sent(request, rendered, JSON)
