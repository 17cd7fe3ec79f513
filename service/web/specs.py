"""Calls on specs as text: read one that somebody wrote, write that of a job, and propose how it may be extended."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from benchmark import Spec, TableError
from benchmark.documents import parse_text
from benchmark.proposals import Flag, extended, flags_of, proposals
from benchmark.writing import spec_text
from service.states import require_extensible
from service.store import Job
from service.stored_spec import spec_of
from service.web.access import READ, SUBMIT
from service.web.jobs import JobId
from service.web.problems import errors
from service.web.state import AppState, State

MAX_TEXT = 65_536  # characters; YAML of that size is read in a second
YAML = "application/yaml"
router = APIRouter(prefix="/specs", tags=["jobs"], dependencies=[READ])
of_job_router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], dependencies=[READ])


class SpecText(BaseModel, extra="forbid"):
    """A spec as somebody wrote it."""

    text: Annotated[str, Field(max_length=MAX_TEXT, description="YAML or JSON")]


class ReadSpec(BaseModel):
    """A spec that was read from text, and is valid."""

    spec: dict[str, Any] = Field(description="as it is written, without what the defaults add")
    n_cells: int = Field(description="so many runs it asks for")


class ProposalShape(BaseModel):
    """One way to extend a job."""

    name: str = Field(description="by which it is chosen")
    title: str
    reason: str = Field(description="why the job's table asks for it; empty for what is only possible")
    n_added: int = Field(description="cells that it alone adds")
    is_chosen: bool


class Extensions(BaseModel):
    """How an ended job may well be extended, and the spec that the chosen proposals make together."""

    proposals: list[ProposalShape]
    spec: dict[str, Any] = Field(description="with the chosen proposals; without any it is the job's")
    text: str = Field(description="the same as YAML")
    n_added: int = Field(description="cells that all chosen ones together add")


@router.post("", status_code=HTTPStatus.OK, dependencies=[SUBMIT])
def read_spec(state: State, given: SpecText) -> ReadSpec:
    """Read a spec from YAML or JSON text and check it; each error tells its line. Nothing is stored."""
    spec = Spec.from_text(given.text, max_cells=state.settings.max_cells)
    return ReadSpec(spec=dict(parse_text(given.text, "the text")), n_cells=spec.n_cells)


@of_job_router.get(
    "/spec",
    response_class=Response,
    responses={HTTPStatus.OK: {"content": {YAML: {"schema": {"$ref": "#/components/schemas/Spec"}}}}},
    response_description="the spec as YAML",
)
def get_spec_text(state: State, job_id: JobId) -> Response:
    """Return the spec of a job as YAML for people, without what the defaults say anyway."""
    return Response(spec_text(state.store.job(job_id).spec), media_type=YAML)


@of_job_router.get("/extensions", responses=errors(HTTPStatus.CONFLICT))
def get_extensions(
    state: State,
    job_id: JobId,
    choose: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(max_length=50, description="names of proposals, of which the spec is made"),
    ] = None,
) -> Extensions:
    """Return how an ended job may be extended: where a best configuration lies at the end of an axis, denser, longer.

    `POST /jobs/{job_id}/extend` takes the spec as it is.
    """
    job = state.store.job(job_id)
    require_extensible(job.state, rerun_of=job.rerun_of)
    old, flags, max_cells = spec_of(job), _flags(state, job), state.settings.max_cells
    chosen = set(choose or ())
    new = extended(old, flags, chosen, max_cells=max_cells) if chosen else old
    return Extensions(
        proposals=[
            ProposalShape(
                name=one.name,
                title=one.title,
                reason=one.reason,
                n_added=one.spec.n_cells - old.n_cells,
                is_chosen=one.name in chosen,
            )
            for one in proposals(old, flags, max_cells=max_cells)
        ],
        spec=new.to_dict(),
        text=spec_text(new.to_dict()),
        n_added=new.n_cells - old.n_cells,
    )


def _flags(state: AppState, job: Job) -> list[Flag]:
    try:
        return flags_of(state.table(job.id, job.revision, None))
    except TableError:  # of a job that has no results there is nothing to tell
        return []
