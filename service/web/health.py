"""Calls about the server itself."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from service.build import build
from service.doctor.findings import Verdict
from service.doctor.machine import disk
from service.jobs.dispatcher import ALIVE_WITHIN_S
from service.web.metrics import MEDIA_TYPE
from service.web.problems import errors
from service.web.shapes import DispatcherShape, dispatcher_values
from service.web.state import State

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """Whether the process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether jobs can be accepted, and who runs them."""

    status: str
    dispatchers: list[DispatcherShape]
    warnings: list[str]


class Version(BaseModel):
    """What is running."""

    version: str
    revision: str | None = Field(description="of the source, as git names it; null where that is not known")
    python: str
    torch: str
    db_schema: str = Field(alias="schema", description="revision of the database's schema that this server needs")


@router.get("/healthz")
async def get_health() -> Health:
    """Say that the process answers."""
    return Health()


@router.get("/readyz", responses=errors(HTTPStatus.SERVICE_UNAVAILABLE))
def get_readiness(state: State, response: Response) -> Readiness:
    """Say whether the database answers and has the schema that this server needs, and which dispatchers are alive.

    That none is alive is a warning, and so is a disk that is nearly full.
    """
    response.headers["Cache-Control"] = "no-store"
    state.store.require_schema()
    alive = state.store.dispatchers(ALIVE_WITHIN_S)
    warnings = [] if alive else ["no dispatcher is alive: jobs are accepted and wait; start one with `rhobust worker`."]
    space = disk(state.settings)
    if space.verdict is not Verdict.OK:
        warnings.append(f"{space.message} {space.remedy}")
    shapes = [DispatcherShape(**dispatcher_values(dispatcher)) for dispatcher in alive]
    return Readiness(status="ok", dispatchers=shapes, warnings=warnings)


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(state: State) -> Response:
    """Return the metrics of this server and of its store, in Prometheus's text format."""
    return Response(state.metrics.text(), media_type=MEDIA_TYPE)


@router.get("/version")
async def get_version() -> Version:
    """Return what is running."""
    return Version.model_validate(build().to_dict())
