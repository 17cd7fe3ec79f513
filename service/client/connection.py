"""Requests to one server, sent again with growing pauses where that does no harm."""

import contextlib
import itertools
import random
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from service.client.errors import ClientError, ServerUnreachableError, checked, problem_of, retry_after_s
from service.client.keys import LOOPBACK
from service.settings import DEFAULT_URL
from service.telemetry import current_notes

PREFIX = "/api/v1"
REQUEST_ID = "X-Request-ID"
IDEMPOTENCY_KEY = "Idempotency-Key"
FIRST_PATIENCE_S = 3.0  # for a server that never answered, whose address may well be wrong
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
AWAY = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def server_address(url: str) -> str:
    """Return the address of a server without a slash at its end; raises ClientError where it can be none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ClientError(f"the address of a server is like {DEFAULT_URL}, but got {url!r}.")
    return url.rstrip("/")


def path_of(kind: str, one_id: str) -> str:
    """Return the path of one job, record or webhook; raises ClientError for an empty id, which would name them all."""
    if not one_id:
        raise ClientError(f"the id of a {kind} must not be empty.")
    return f"/{kind}s/{quote(one_id, safe='')}"


def repeatable(key: str | None = None) -> dict[str, str]:
    """Return the header of a request that may be sent again: the server knows it by this key, a new one by default."""
    return {IDEMPOTENCY_KEY: key or uuid.uuid4().hex}


class Connection:
    """Connections to one server.

    Args:
        url: of the server.
        auth: what carries the key; None without one.
        timeout_s: for one request.
        patience_s: how long a request is tried again, once the server has answered before.
        transport: how requests are sent, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: httpx.Auth | None,
        timeout_s: float,
        patience_s: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.url = url
        self._patience_s = patience_s
        self._has_answered = False
        # A proxy of the environment cannot reach our loopback.
        is_remote = urlsplit(url).hostname not in LOOPBACK
        self._http = httpx.Client(base_url=url, auth=auth, timeout=timeout_s, transport=transport, trust_env=is_remote)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, *, prefix: str = PREFIX, **options: Any) -> httpx.Response:
        """Send a request and return its answer, which is no error.

        It is sent again, with the same body and headers, where there was no answer or the server cannot serve now and
        sending it twice does no harm: where it only reads, bears an Idempotency-Key, or cannot have arrived.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer.
        """
        options["headers"] = {**_request_id(), **options.get("headers", {})}
        may_repeat = method == "GET" or IDEMPOTENCY_KEY in options["headers"]
        began = time.monotonic()
        for count in itertools.count():
            pause_s = _pause_s(count)
            try:
                response = self._http.request(method, prefix + path, **options)
            except httpx.TransportError as error:
                failure: Exception = self._no_answer(error)
                failure.__cause__ = error
                is_harmless = may_repeat or isinstance(error, NEVER_SENT)
            else:
                if not response.is_error:
                    self._has_answered = True
                    return response
                failure = problem_of(response)
                is_limited = response.status_code == httpx.codes.TOO_MANY_REQUESTS
                is_harmless = is_limited or (may_repeat and response.status_code in AWAY)
                pause_s = max(pause_s, retry_after_s(response) or 0.0)
                self._has_answered = self._has_answered or response.status_code not in AWAY
            patience_s = self._patience_s if self._has_answered else min(FIRST_PATIENCE_S, self._patience_s)
            if not is_harmless or time.monotonic() + pause_s > began + patience_s:
                raise failure
            time.sleep(pause_s)
        raise AssertionError("unreachable: the loop has no end")

    @contextlib.contextmanager
    def stream(self, path: str, params: Mapping[str, Any], *, read_timeout_s: float | None) -> Iterator[httpx.Response]:
        """Yield an answer whose body is still to be read.

        Args:
            path: what to read.
            params: of the query.
            read_timeout_s: how long nothing may come; None where that may be for hours.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer, or it breaks off.
        """
        timeout = httpx.Timeout(self._http.timeout.connect, read=read_timeout_s)
        try:
            with self._http.stream(
                "GET", PREFIX + path, params=params, headers=_request_id(), timeout=timeout
            ) as response:
                if response.is_error:
                    response.read()
                yield checked(response)
        except httpx.TransportError as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: httpx.TransportError) -> ServerUnreachableError:
        reason = str(error) or type(error).__name__
        message = f"no answer from {self.url}: {reason}. Is `rhobust serve` running?"
        if not isinstance(error, NEVER_SENT):  # the server may have it in its log
            message += f" (request {error.request.headers[REQUEST_ID]})"
        return ServerUnreachableError(message)


def _request_id() -> dict[str, str]:
    """Return the header with the id of the request for which another one is sent, or with a new one."""
    return {REQUEST_ID: str(current_notes().get("request_id") or secrets.token_hex(8))}


def _pause_s(count: int) -> float:
    """Return the pause after so many tries that failed: it doubles, and its random half keeps clients apart."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**count)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret in it)
