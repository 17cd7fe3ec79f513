"""Calls about the server itself."""

from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.jobs.dispatcher import ALIVE_WITHIN_S
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


@router.get("/healthz")
async def healthz() -> Health:
    """Say that the process answers."""
    return Health()


@router.get("/readyz", responses={HTTPStatus.SERVICE_UNAVAILABLE: {"description": "the database does not answer"}})
def readyz(state: State, response: Response) -> Readiness:
    """Say whether the database answers, and which dispatchers are alive; none is a warning."""
    response.headers["Cache-Control"] = "no-store"
    alive = state.store.dispatchers(ALIVE_WITHIN_S)
    warnings = [] if alive else ["no dispatcher is alive: jobs are accepted and wait; start one with `rhobust worker`."]
    shapes = [DispatcherShape(**dispatcher_values(dispatcher)) for dispatcher in alive]
    return Readiness(status="ok", dispatchers=shapes, warnings=warnings)


@router.get("/version", response_model_exclude_none=True)
async def get_version() -> Version:
    """Return the version of the server."""
    return Version(version=version("rhobust"))
