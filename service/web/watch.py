"""The watch over every request: its id, a line in the log when it has ended, and its place in the metrics."""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry import noted
from service.web.metrics import OTHER, Metrics

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# Probes and scrapes come every few seconds, and a page brings a dozen files: they would hide everything else.
QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/assets/plotly.min.js", "/static/{path}"})
MAX_PATH = 200
LEFT = 499  # the client went before there was an answer, as nginx counts it
logger = logging.getLogger("rhobust.access")


class Watch:
    """ASGI middleware around all others.

    A line tells method, path, status and duration, and whose request it was; never a query, a header or a body, which
    may hold secrets. What grows with what strangers send, paths and methods, is no label of a metric.

    Args:
        app: what is watched; its state holds the metrics.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._templates: Mapping[object, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        metrics: Metrics = scope["app"].state.rhobust.metrics
        began = time.perf_counter()
        status, answer_s = LEFT, None

        async def send_watched(message: Message) -> None:
            nonlocal status, answer_s
            if message["type"] == "http.response.start":
                status, answer_s = message["status"], time.perf_counter() - began
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with noted(request_id=request_id), metrics.one_more_in_flight():
            try:
                await self._app(scope, receive, send_watched)
            finally:
                duration_s = time.perf_counter() - began
                route = self._route(scope)
                method = scope["method"] if scope["method"] in METHODS else OTHER
                metrics.count_request(method, route, status, duration_s if answer_s is None else answer_s)
                _log(scope, method, route, status, duration_s)

    def _route(self, scope: Scope) -> str:
        """Return the template of the route that a request was for; `other` where there is none."""
        if not self._templates:
            # routers are taken up when the app is put together, and are all there by the first request
            contexts = list(iter_route_contexts(scope["app"].routes))
            places = [one.endpoint or getattr(one.original_route, "app", None) for one in contexts]
            self._templates = {
                place: one.path_format or "" for place, one in zip(places, contexts, strict=True) if place is not None
            }
        return self._templates.get(scope.get("endpoint"), OTHER)


def _log(scope: Scope, method: str, route: str, status: int, duration_s: float) -> None:
    path = _shown_path(scope)
    principal = scope["state"].get("principal")
    notes = {
        "method": method,
        "route": route,
        "path": path,
        "status": status,
        "duration_s": round(duration_s, 6),
        "principal": None if principal is None else str(getattr(principal, "name", principal)),
        "job_id": scope.get("path_params", {}).get("job_id") if status < HTTPStatus.BAD_REQUEST else None,
    }
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.WARNING
    else:
        level = logging.DEBUG if route in QUIET else logging.INFO
    notes = {name: value for name, value in notes.items() if value is not None}
    logger.log(level, "%s %s %d in %.1f ms", method, path, status, 1000 * duration_s, extra={"notes": notes})


def _shown_path(scope: Scope) -> str:
    """Return the path as it was sent, without its query: what is no plain character in it is still escaped."""
    sent = scope.get("raw_path") or scope["path"].encode(errors="replace")
    return quote(sent[:MAX_PATH], safe="/%:@!$&'()*+,;=~-._")
