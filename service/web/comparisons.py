"""Calls on comparisons: what changed from a baseline to a job."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from benchmark.regression import Change, Pairs, Verdict
from service.comparing import compared_jobs, job_of, named_or_job
from service.states import JobState
from service.store import Baseline
from service.store.regression_entities import BASELINE_NAME
from service.web.access import READ
from service.web.jobs import JOB_ID
from service.web.negotiation import JSON, files, negotiated
from service.web.problems import errors
from service.web.rendered import json_bytes
from service.web.sending import sent
from service.web.state import AppState, State

BASELINE = "name of a baseline, or id of a job"
FORMATS = {"json": JSON, "md": "text/markdown"}
router = APIRouter(prefix="/comparisons", tags=["baselines"], dependencies=[READ])


class ComparedJobShape(BaseModel):
    """A job that was compared."""

    id: str
    name: str
    state: JobState
    n_missing: int = Field(description="cells without a result, which leave their optimizer untested")
    made_by: dict[str, str] | None = Field(
        description="versions and revisions by which its last attempt trained, by name; null before that began"
    )


class ComparisonShape(BaseModel):
    """What changed from a baseline to a candidate, paired by configuration and seed."""

    baseline_name: str | None = Field(description="null where a job was named by its id")
    baseline: ComparedJobShape
    candidate: ComparedJobShape
    verdict: Verdict = Field(description="the worst of any measure: regressed, then undecided, improved, same")
    pairs: list[Pairs] = Field(description="of each optimizer and task of the baseline")
    measures: list[Change] = Field(description="of each optimizer and task of the baseline")
    n_seeds: int = Field(description="that both have")
    is_calibrated: bool = Field(description="whether margins come from replays of the baseline; else from tolerances")
    correction: str = Field(description="how it was allowed for that many measures are tested at once")


@router.get(
    "",
    responses={
        HTTPStatus.OK: {"model": ComparisonShape, "content": files(FORMATS)},
        **errors(HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.CONFLICT),
    },
)
async def get_comparison(
    request: Request,
    state: State,
    baseline: Annotated[str, Query(pattern=f"^{BASELINE_NAME}$", description=BASELINE)],
    candidate: Annotated[str, Query(pattern=JOB_ID, description="id of a job")],
    report_format: Annotated[
        Literal["json", "md"] | None,
        Query(alias="format", description="md: a report for a pull request; goes before `Accept`"),
    ] = None,
) -> Response:
    """Return what changed from a baseline, or from any job, to a job, of what is recorded so far.

    Scores are measured against the references that the baseline keeps, with its limits as margins. A job that is named
    by its id has no limits.
    """
    chosen = negotiated(request, report_format, FORMATS)
    named, revisions = await run_in_threadpool(_found, state, baseline, candidate)

    def render() -> bytes:
        compared = compared_jobs(state.store, named, candidate)
        return json_bytes(compared.to_dict()) if chosen == "json" else compared.report().encode()

    rendered = await state.rendered.get(("comparison", *revisions, chosen), render)
    return sent(request, rendered, FORMATS[chosen], vary="Accept")


def _found(state: AppState, baseline: str, candidate: str) -> tuple[Baseline | str, tuple[str | int, ...]]:
    """Return what a candidate is compared with, and all on which the comparison depends."""
    named = named_or_job(state.store, baseline)
    kept = (named.id, named.revision) if isinstance(named, Baseline) else ()
    jobs = [job_of(state.store, named), state.store.job(candidate)]
    return named, (*kept, *(part for job in jobs for part in (job.id, job.revision)))
