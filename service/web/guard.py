"""The guard around every request: headers that browsers heed, and nothing that another site's page sent."""

import ipaddress
import re
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.problems import problem

MAX_BODY_BYTES = 1024**2
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Plotly sets two style attributes, whose hashes allow these and nothing else: an empty one on its colour bars, and one
# on maps of evenly spaced cells that keeps these from being blurred (`image-rendering`, in all its spellings).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "style-src-attr 'unsafe-hashes' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-AR/cKIZjWPcPmBUPDA6oti9XBiTbJvz0Cro2J1VzzS8='; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STATIC_FOLDERS = ("/static/", "/assets/")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# Not for loopback: a browser would ask every other server of this machine for https as well, on every port.
TRANSPORT_SECURITY = "max-age=31536000"
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that every request passes.

    A server without keys trusts whoever reaches it, so it must not be reached by a page of another site that the user
    has open: only known host names are answered (no DNS rebinding; an address needs no name server), a writing request
    must come from this origin or from no browser at all, and must be JSON, which no plain form can send.

    Args:
        app: what is guarded.
        hosts: names, without port, under which the server answers.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                response_headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    response_headers.setdefault(name, value)
                if scope["scheme"] == "https" and _host_name(headers.get("host", "")) not in LOOPBACK_HOSTS:
                    response_headers.setdefault("Strict-Transport-Security", TRANSPORT_SECURITY)
                if not route_path(scope).startswith(STATIC_FOLDERS):
                    response_headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], headers)
        if refusal is None and scope["method"] == "HEAD":
            asked: Scope = {**scope, "method": "GET"}
            await self._app(asked, receive, without_body(send_guarded))
            # for whoever looks at the request from outside
            scope.update({name: asked[name] for name in ("endpoint", "path_params") if name in asked})
        elif refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            status, detail = refusal
            await problem(Request(scope), status, detail)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[HTTPStatus, str] | None:
        host = headers.get("host", "")
        name = _host_name(host)
        if name not in self._hosts and not _is_address(name):
            return HTTPStatus.MISDIRECTED_REQUEST, (
                f"this server does not answer to the host {host[:200]!r}; RHOBUST_ALLOWED_HOSTS may name it."
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES:
            return (
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a body may have {MAX_BODY_BYTES:,} bytes, but this has {length[:20]}.",
            )
        if method in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return HTTPStatus.FORBIDDEN, f"a page of {origin[:200]!r} may not write to this server."
        has_body = length != "0" or "transfer-encoding" in headers
        if has_body and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body must be JSON, with Content-Type: application/json."
        return None


def route_path(scope: Scope) -> str:
    """Return the path of a request without the one under which a proxy serves us."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def without_body(send: Send) -> Send:
    """Return a `send` for HEAD: the headers of GET and no body. A body in pieces is over with the first."""
    is_over = False

    async def send_headers(message: Message) -> None:
        nonlocal is_over
        if message["type"] != "http.response.body":
            await send(message)
        elif not is_over:
            is_over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_headers


def _host_name(host: str) -> str:
    """Return a host header without its port."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return name.strip("[]").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
