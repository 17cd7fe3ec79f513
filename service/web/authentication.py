"""Authentication: before any route is looked for, every request but the open ones is somebody's, or is refused.

Without any key the server trusts whoever reaches it, which is this machine alone. Within a second of the first key, or
where others can reach the server, a request must bring one: as a bearer token, or by the session cookie of a page.
"""

import hmac
import logging
import math
import time
from http import HTTPStatus
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.store import KeyRefusedError, StoreError
from service.web.access import LOCAL, Principal
from service.web.guard import SAFE_METHODS, STATIC_FOLDERS, route_path
from service.web.problems import problem, unavailable
from service.web.state import AppState, state_of

SESSION_COOKIE = "rhobust_session"
CSRF_HEADER = "X-CSRF-Token"
CHALLENGE = 'Bearer realm="rhobust"'
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/version", "/metrics", "/sign-in"})
SIGN_IN = ("POST", "/session")
CHECK_AGAIN_S = 5.0  # an answer that goes on for longer is for whoever is still let in
logger = logging.getLogger("rhobust.web")


class Authentication:
    """ASGI middleware that puts the principal of a request into its state, and counts what each of them sends.

    Args:
        app: what lies behind; its state holds the store.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or _is_open(route_path(scope)):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        state = state_of(request)
        refusal = await _refusal(request, state)
        if refusal is None and hasattr(request.state, "principal"):
            send = _while_let_in(send, request, state)
        await (refusal or self._app)(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(STATIC_FOLDERS)


async def _refusal(request: Request, state: AppState) -> Response | None:
    """Return the answer to who may not go on; who may is put into the request's state."""
    principal, reason = None, "an API key is needed."
    signs_in = (request.method, route_path(request.scope)) == SIGN_IN
    try:
        if not signs_in:
            principal = LOCAL if state.is_open else await run_in_threadpool(_principal, request, state)
    except KeyRefusedError as error:
        reason = str(error)
    except StoreError as error:
        return unavailable(request, error)
    if principal is not LOCAL:
        client = request.client.host if request.client else ""
        wait_s = state.rate_limit.wait_s(principal.name if principal else f"address {client}")
        if wait_s:
            detail = f"at most {state.settings.max_requests_per_s:g} requests a second are answered; slow down."
            headers = {"Retry-After": str(math.ceil(wait_s))}
            return problem(request, HTTPStatus.TOO_MANY_REQUESTS, detail, headers=headers)
    if principal is not None:
        request.state.principal = principal
        return _forgery(request, principal)
    return None if signs_in else _unauthorized(request, reason)


def _principal(request: Request, state: AppState) -> Principal | None:
    """Return whose a request is; None where it brings neither key nor session.

    Raises:
        KeyRefusedError: if what it brings lets nobody in.
    """
    if not state.needs_key():
        return LOCAL
    authorization = request.headers.get("authorization")
    if authorization is not None:
        kind, _, sent = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise KeyRefusedError("the header Authorization must be `Bearer` and an API key.")
        key = state.store.authenticate(sent.strip())
        return Principal(key.id, key.scope)
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        return None
    key = state.store.session_key(session)
    return Principal(key.id, key.scope, session)


def _forgery(request: Request, principal: Principal) -> Response | None:
    """Return a refusal of what a browser may have been made to send; it adds a cookie by itself, but no header."""
    if principal.session is None or request.method in SAFE_METHODS:
        return None
    token = request.headers.get(CSRF_HEADER, "")
    if "origin" in request.headers and hmac.compare_digest(token.encode(), principal.csrf_token.encode()):
        return None  # the guard has compared the origin
    detail = (
        f"with a session, a call that changes something needs the headers Origin and {CSRF_HEADER}, as our pages send."
    )
    return problem(request, HTTPStatus.FORBIDDEN, detail)


def _while_let_in(send: Send, request: Request, state: AppState) -> Send:
    """Return a `send` that breaks an answer off once whoever gets it is let in no more: a stream may go on for days.

    It does not end the answer in order, for half a file would look like a whole one.
    """
    checked = time.monotonic()

    async def send_checked(message: Message) -> None:
        nonlocal checked
        if message.get("more_body") and time.monotonic() >= checked + CHECK_AGAIN_S:
            if not await run_in_threadpool(_is_let_in, request, state):
                logger.info("the answer breaks off: its reader is let in no more")
                raise ClientDisconnect
            checked = time.monotonic()
        await send(message)

    return send_checked


def _is_let_in(request: Request, state: AppState) -> bool:
    try:
        return _principal(request, state) is not None
    except KeyRefusedError:
        return False
    except StoreError:  # who was let in stays so while the database is away
        return True


def _unauthorized(request: Request, reason: str) -> Response:
    """Return 401; a person who opens a page is led to where a key is asked for."""
    path = route_path(request.scope)
    if request.method == "GET" and not path.startswith("/api/") and _wants_page(request.headers):
        where = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="")
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/sign-in?next={where}", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    presented = "authorization" in request.headers
    challenge = f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE
    # With a colon behind its name, what takes secrets out of problems would take the rest of this.
    hint = (
        "Send it in the header Authorization as `Bearer rhb_...`, with our clients by RHOBUST_API_KEY; "
        "`rhobust keys create` on the server's machine makes one."
    )
    return problem(request, HTTPStatus.UNAUTHORIZED, f"{reason} {hint}", headers={"WWW-Authenticate": challenge})


def _wants_page(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")
