"""Errors on the wire: every one is a problem document (RFC 9457) with a request id."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmark import BenchmarkError, SpecError, TaskDataError
from benchmark import Problem as SpecProblem
from benchmark.parsing import pointer
from service.states import IllegalTransitionError
from service.store import (
    ConflictError,
    IdempotencyConflictError,
    InUseError,
    InvalidValueError,
    NotFoundError,
    QueueFullError,
    SchemaError,
    StoreError,
    UnavailableError,
    UnfitJobError,
)
from service.stored_spec import ForgottenNameError
from service.telemetry import redact
from service.web.state import state_of

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
QUEUE_RETRY_AFTER_S = 60
logger = logging.getLogger("rhobust.web")


class Detail(BaseModel):
    """One broken rule: a JSON pointer into what was sent, and what is wrong there."""

    pointer: str
    detail: str
    line: int | None = Field(
        default=None, description="of a text that was sent, counted from 1; null where there is none"
    )


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    errors: list[Detail] = Field(default_factory=list)
    request_id: str


def errors(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can answer these, beside what every call of its kind can."""
    return {status: {} for status in statuses}


def problem(
    request: Request,
    status: int,
    detail: str,
    errors: Iterable[SpecProblem] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return the response for an error."""
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=redact(detail),
        errors=[
            Detail(pointer=redact(error.pointer), detail=redact(error.detail), line=error.line) for error in errors
        ],
        request_id=getattr(request.state, "request_id", ""),
    )
    return JSONResponse(document.model_dump(), status, headers, media_type=MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Have the app answer every error with a problem document."""

    @app.exception_handler(SpecError)
    def _spec(request: Request, error: SpecError) -> JSONResponse:
        n = len(error.problems)
        detail = f"the spec breaks {n} rule{'s' if n > 1 else ''}: {error.problems[0]}"
        return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, error.problems)

    @app.exception_handler(RequestValidationError)
    def _request(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [SpecProblem(pointer(*_strings(item["loc"])), item["msg"]) for item in error.errors()]
        return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", problems)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed(request))
        return problem(request, error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(NotFoundError)
    def _missing(request: Request, error: NotFoundError) -> JSONResponse:
        return problem(request, HTTPStatus.NOT_FOUND, str(error))

    @app.exception_handler(IllegalTransitionError)
    @app.exception_handler(ConflictError)
    @app.exception_handler(InUseError)
    @app.exception_handler(UnfitJobError)
    @app.exception_handler(ForgottenNameError)
    def _conflict(request: Request, error: Exception) -> JSONResponse:
        return problem(request, HTTPStatus.CONFLICT, str(error))

    @app.exception_handler(QueueFullError)
    def _full(request: Request, error: QueueFullError) -> JSONResponse:
        headers = {"Retry-After": str(QUEUE_RETRY_AFTER_S)}
        return problem(request, HTTPStatus.TOO_MANY_REQUESTS, str(error), headers=headers)

    away: tuple[type[Exception], ...] = (UnavailableError, SchemaError, TaskDataError)
    refused: tuple[type[Exception], ...] = (IdempotencyConflictError, InvalidValueError, BenchmarkError)
    for kinds, handler in ((away, unavailable), (refused, _refused), ((StoreError, Exception), _fault)):
        for kind in kinds:
            app.add_exception_handler(kind, handler)


class Faults:
    """ASGI middleware that turns an error that nobody expected into an answer inside the guard, with its headers.

    Starlette's own place for that is outside of every middleware.

    Args:
        app: what may fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        has_begun = False

        async def send_noticed(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noticed)
        except ClientDisconnect:  # in the midst of its body: nobody is there to be answered
            return
        except Exception as error:
            if has_begun:  # only a connection that breaks off tells the client now
                raise
            await _fault(Request(scope), error)(scope, receive, send)


def _allowed(request: Request) -> list[str]:
    """Return the methods of all routes of a path: the router's own answer names those of the first alone."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods = {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.methods and route.path_regex.match(path)
        for method in route.methods
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _strings(location: Iterable[Any]) -> list[int | str]:
    return [part if isinstance(part, int) else str(part) for part in location]


def unavailable(request: Request, error: Exception) -> JSONResponse:
    """Return the response for what may go well later; strangers are not told where the database is."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    detail = str(error)
    if state_of(request).is_closed and not hasattr(request.state, "principal"):
        logger.warning("no service: %s", error)
        detail = "the server cannot serve now; its log says why under this request_id."
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)


def _refused(request: Request, error: Exception) -> JSONResponse:
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def _fault(request: Request, error: Exception) -> JSONResponse:
    logger.error("request %s failed", getattr(request.state, "request_id", ""), exc_info=error)
    detail = "the server met an error of its own; its log has more under this request_id."
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
