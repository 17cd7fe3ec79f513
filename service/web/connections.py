"""Connections that nobody can hold for nothing: uvicorn's HTTP/1.1 with deadlines for what a client sends and reads.

A server answers so many connections at once. Without deadlines whoever opens that many and then says nothing, sends a
request letter by letter, or never reads its answer, keeps everybody else out, and needs no key for it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 30.0  # for a request with its body to arrive
READ_S = 60.0  # for the next piece of an answer to be read


class Connection(H11Protocol):
    """One connection. An answer may take as long as it likes, as long as it is read."""

    _request_deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_request()

    def on_response_complete(self) -> None:
        """Expect the next request."""
        super().on_response_complete()
        self._expect_request()

    def pause_writing(self) -> None:
        """Expect what is written to be read."""
        super().pause_writing()
        self._read_deadline = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Expect nothing, for it was read."""
        super().resume_writing()
        _cancel(self._read_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        _cancel(self._request_deadline)
        _cancel(self._read_deadline)

    def _expect_request(self) -> None:
        _cancel(self._request_deadline)
        self._request_deadline = self.loop.call_later(REQUEST_S, self._require_request)

    def _require_request(self) -> None:
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
