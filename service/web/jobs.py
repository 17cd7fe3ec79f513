"""Calls on jobs: submit, list, look, steer, delete."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from benchmark import Problem, Spec, SpecError
from benchmark.documents import parse_json
from benchmark.execution import Execution
from benchmark.extension import extension_problems
from benchmark.spec.models import Limits
from service.comparing import job_of, named_or_job
from service.estimates import Estimate, estimate
from service.logs import remove_log
from service.rerunning import new_rerun
from service.states import JobState, require_extensible
from service.store import Job, JobOrder, JobQuery, ListedJob, Progress
from service.store.regression_entities import BASELINE_NAME
from service.stored_spec import spec_of
from service.submission import new_job
from service.web.access import READ, SUBMIT, Caller
from service.web.conditional import headers_of, unchanged, weak_tag
from service.web.creation import made
from service.web.paging import MAX_TOKEN, NEXT_PAGE, PageSize, job_position, job_token
from service.web.problems import errors
from service.web.rendered import json_bytes
from service.web.shapes import JobDetail, JobPage, detail_values
from service.web.state import AppState, State

MAX_TAGS = 20
MAX_RECORDS = 1_000
RECORD_ID = r"^[0-9a-f]{32}$"
SPEC_BODY = {
    "requestBody": {
        "required": True,
        "description": "a spec, as JSON",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Spec"}}},
    }
}
CONFLICT = errors(HTTPStatus.CONFLICT)
router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[READ])
JOB_ID = r"^[A-Za-z0-9_-]{1,64}$"
JobId = Annotated[str, Path(pattern=JOB_ID, description="id of the job")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="of one's own choice: for 24 h, the same call under it makes nothing again, another is refused",
    ),
]


class GridPlan(BaseModel):
    """What one optimizer on one task takes."""

    task: str
    optimizer: str
    configurations: int
    cells: int
    gradient_evaluations: int
    wave: int = Field(description="2 of a control, which is trained when the cells that give its radius have ended")


class Plan(BaseModel):
    """The price of a spec, before anything is run."""

    cells: int
    gradient_evaluations: int
    grids: list[GridPlan]
    reused: int | None = None
    packs: int | None = None
    execution: dict[str, dict[str, Execution]] | None = None
    estimated_s: float | None = None
    reason: str | None = Field(default=None, description="why a value is null")


class Rerun(BaseModel, extra="forbid"):
    """What is trained again."""

    records: (
        Annotated[list[Annotated[str, Field(pattern=RECORD_ID)]], Field(min_length=1, max_length=MAX_RECORDS)] | None
    ) = Field(
        default=None,
        description="ids of the records that are compared; their whole packs are trained again. All results by default",
    )


class Retry(BaseModel, extra="forbid"):
    """What a retry may change."""

    limits: Limits | None = None


async def _spec_document(request: Request) -> Mapping[str, Any]:
    """Return the body as a spec is read everywhere: a key that stands twice is an error, and so is NaN."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        problem = Problem("", f"the body must be UTF-8 text, but {error.reason} at byte {error.start}.")
        raise SpecError([problem]) from error
    return parse_json(text, "the body")


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobDetail,
    response_description="the new job",
    responses={
        200: {"model": Plan | JobDetail, "description": "the price; or the job that this Idempotency-Key made before"},
        **errors(HTTPStatus.NOT_FOUND),
    },
    dependencies=[SUBMIT],
    openapi_extra=SPEC_BODY,
)
def submit_job(
    request: Request,
    state: State,
    caller: Caller,
    document: Annotated[Mapping[str, Any], Depends(_spec_document)],
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="only tell the price; nothing is stored")] = False,
    baseline: Annotated[
        str | None,
        Query(
            pattern=f"^{BASELINE_NAME}$",
            description="name of a baseline, or id of a job, that it will be compared with: what that trained fused is "
            "trained fused, and the rest one cell after another",
        ),
    ] = None,
) -> Response:
    """Submit a spec as a job, or ask for its price."""
    spec = Spec.from_mapping(document, max_cells=state.settings.max_cells)
    execution = {} if baseline is None else job_of(state.store, named_or_job(state.store, baseline)).execution
    if dry_run:
        return JSONResponse(_plan(estimate(spec, state.store)).model_dump())
    job, is_new = state.store.submit(
        new_job(spec, submitted_by=caller.name, execution=execution),
        principal=caller.name,
        idempotency_key=idempotency_key,
        max_queued=None if caller.is_local else state.settings.max_queued,
    )
    return made(request, f"/jobs/{job.id}", _detail(state, job), is_new=is_new, status=HTTPStatus.ACCEPTED)


def _plan(found: Estimate) -> Plan:
    return Plan(
        cells=sum(one.n_cells for one in found.prices),
        gradient_evaluations=sum(one.gradient_evaluations for one in found.prices),
        reused=found.reused,
        packs=found.packs,
        execution=found.execution,
        estimated_s=found.elapsed_s,
        reason="; ".join(found.reasons) or None,
        grids=[
            GridPlan(
                task=one.task,
                optimizer=one.optimizer,
                configurations=one.n_configurations,
                cells=one.n_cells,
                gradient_evaluations=one.gradient_evaluations,
                wave=one.wave,
            )
            for one in found.prices
        ],
    )


@router.get("", response_model=JobPage)
async def list_jobs(
    state: State,
    job_state: Annotated[list[JobState] | None, Query(alias="state", description="any of these")] = None,
    tag: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None, Query(max_length=MAX_TAGS, description="all of these")
    ] = None,
    task: Annotated[str | None, Query(max_length=200, description="name or label of a task")] = None,
    text: Annotated[str | None, Query(max_length=200, description="part of the name, or start of the id")] = None,
    submitted_by: Annotated[str | None, Query(max_length=200, description="id of a key, or local")] = None,
    sort: Annotated[
        JobOrder, Query(description="a minus puts the largest first; jobs that have not finished are last")
    ] = JobOrder.NEWEST,
    page_size: PageSize = 50,
    page_token: Annotated[str | None, Query(max_length=MAX_TOKEN, description=NEXT_PAGE)] = None,
) -> Response:
    """List jobs, newest first unless sorted otherwise."""
    after = None if page_token is None else job_position(page_token, sort)
    query = JobQuery(
        states=set(job_state or ()),
        tags=set(tag or ()),
        text=text,
        task=task,
        submitted_by=submitted_by,
        order=sort,
        limit=page_size + 1,
        after=after,
    )

    def found() -> tuple[list[ListedJob], list[bytes]]:
        listed = state.store.listed(query)
        return listed, state.summaries.of(listed[:page_size])

    listed, summaries = await state.read(found)
    page = listed[:page_size]
    token = job_token(page[-1].position, sort) if len(listed) > page_size else None
    content = b'{"items":[%b],"next_page_token":%b}' % (b",".join(summaries), json_bytes(token))
    return Response(content, media_type="application/json")


@router.get("/{job_id}", response_model=JobDetail, responses=errors(HTTPStatus.NOT_MODIFIED))
async def get_job(request: Request, state: State, job_id: JobId) -> Response:
    """Return a job; its revision is its entity tag."""
    job_state, revision = await state.read(state.store.standing, job_id)
    headers = headers_of(weak_tag(revision))
    if not job_state.is_terminal:
        # who runs it, and when that was last heard of, changes without a revision: only who asks for 304 gets it
        headers["Cache-Control"] = "no-store"
    if same := unchanged(request, headers):
        return same

    def render() -> bytes:
        return json_bytes(_values(state, *state.store.job_and_progress(job_id)))

    if job_state.is_terminal:
        content = (await state.rendered.get((job_id, revision, "job"), render)).content
    else:
        content = await state.read(render)
    return Response(content, headers=headers, media_type="application/json")


@router.delete("/{job_id}", status_code=HTTPStatus.NO_CONTENT, responses=CONFLICT, dependencies=[SUBMIT])
def delete_job(state: State, job_id: JobId) -> None:
    """Delete a finished job, its log where it is on this machine, and the records that no other job uses."""
    state.store.delete(job_id)
    remove_log(state.settings.log_path(job_id))


@router.post("/{job_id}/pause", status_code=HTTPStatus.ACCEPTED, responses=CONFLICT, dependencies=[SUBMIT])
def pause_job(state: State, job_id: JobId) -> JobDetail:
    """Start no more packs; those in flight finish if they are fused, else they stop, and go on later."""
    return _detail(state, state.store.pause(job_id))


@router.post("/{job_id}/resume", status_code=HTTPStatus.ACCEPTED, responses=CONFLICT, dependencies=[SUBMIT])
def resume_job(state: State, job_id: JobId) -> JobDetail:
    """Put a paused job back into the queue."""
    return _detail(state, state.store.resume(job_id))


@router.post("/{job_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=CONFLICT, dependencies=[SUBMIT])
def cancel_job(state: State, job_id: JobId) -> JobDetail:
    """End a job at once; what is recorded stays."""
    return _detail(state, state.store.cancel(job_id))


@router.post("/{job_id}/retry", status_code=HTTPStatus.ACCEPTED, responses=CONFLICT, dependencies=[SUBMIT])
def retry_job(state: State, job_id: JobId, retry: Retry | None = None) -> JobDetail:
    """Train what is missing of an ended job, under new limits if any are given."""
    limits = retry.limits.model_dump(mode="json", exclude_unset=True) if retry and retry.limits else None
    return _detail(state, state.store.retry(job_id, limits))


@router.post(
    "/{job_id}/extend",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobDetail,
    response_description="the job, which is queued again",
    responses={200: {"model": Plan, "description": "the price"}, **CONFLICT},
    dependencies=[SUBMIT],
    openapi_extra=SPEC_BODY,
)
def extend_job(
    state: State,
    job_id: JobId,
    document: Annotated[Mapping[str, Any], Depends(_spec_document)],
    dry_run: Annotated[bool, Query(description="only tell the price; nothing is changed")] = False,
) -> Response:
    """Train what a larger spec adds to an ended job: denser or wider axes, more seeds, optimizers, tasks.

    The spec replaces the job's, whose cells must all be in it. Name, tags and priority stay those of the job. In the
    price, the cells of which the job has a result count as reused.
    """
    spec = Spec.from_mapping(document, max_cells=state.settings.max_cells)
    job = state.store.job(job_id)
    require_extensible(job.state, rerun_of=job.rerun_of)
    problems = extension_problems(spec_of(job), spec)
    if problems:
        raise SpecError(problems)
    if dry_run:
        return JSONResponse(_plan(estimate(spec, state.store, state.store.done_keys(job_id))).model_dump())
    kept = {name: job.spec[name] for name in ("name", "tags", "priority")}
    detail = _detail(state, state.store.extend(job_id, {**spec.to_dict(), **kept}, spec.n_cells))
    return JSONResponse(detail.model_dump(mode="json"), HTTPStatus.ACCEPTED)


@router.post(
    "/{job_id}/rerun",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobDetail,
    response_description="the new job",
    responses={
        200: {"model": JobDetail, "description": "the job that this Idempotency-Key made before"},
        **CONFLICT,
    },
    dependencies=[SUBMIT],
)
def rerun_job(
    request: Request,
    state: State,
    caller: Caller,
    job_id: JobId,
    rerun: Rerun | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Train packs of an ended job again exactly as they were, as a new job.

    The same cells beside each other in the same order, fused or one after another as then, and nothing is reused;
    `GET /jobs/{job_id}/rerun` of the new job says whether the same came of them.
    """
    record_ids = None if rerun is None else rerun.records
    new = new_rerun(state.store, job_id, record_ids, submitted_by=caller.name)
    job, is_new = state.store.submit(
        new,
        principal=caller.name,
        idempotency_key=idempotency_key,
        max_queued=None if caller.is_local else state.settings.max_queued,
    )
    return made(request, f"/jobs/{job.id}", _detail(state, job), is_new=is_new, status=HTTPStatus.ACCEPTED)


def _detail(state: AppState, job: Job) -> JobDetail:
    return JobDetail(**_values(state, job, state.store.progress(job.id)))


def _values(state: AppState, job: Job, progress: Progress) -> dict[str, Any]:
    ownership = state.store.ownership(job.id) if job.state is JobState.RUNNING else None
    return detail_values(job, progress, ownership, state.first_missing(job, progress))
