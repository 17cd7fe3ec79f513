"""Connections that nobody can hold for nothing: uvicorn's HTTP/1.1 with deadlines for what a client sends and reads.

A server answers so many connections at once. Without deadlines whoever opens that many and then says nothing, sends a
request letter by letter, or never reads its answer, keeps everybody else out, and needs no key for it.

Between two requests a connection is kept for longer than our client's httpx keeps it: where the server is the one that
closes it, a request that is on its way at that moment is lost. In a crowd the one that has been idle the longest makes
room.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 30.0  # for a request with its body to arrive, from its first byte on, and for the first one to begin
READ_S = 60.0  # for the next piece of an answer to be read
IDLE_S = 75  # between two requests; httpx keeps a connection for 5 s
CROWD = 100  # connections that are let be; with more, idle ones are closed


class Connection(H11Protocol):
    """One connection. An answer may take as long as it likes, as long as it is read."""

    _request_deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None
    _idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Expect the first request."""
        super().connection_made(transport)
        self.timeout_keep_alive = IDLE_S
        self._idle_since = self.loop.time()
        self._expect_request()
        if len(self.connections) > CROWD:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Expect the rest of a request that begins."""
        if self._idle_since is not None:
            self._idle_since = None
            self._expect_request()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Expect the next request."""
        super().on_response_complete()
        cycle: Any = self.cycle
        next_one, _ = self.conn.trailing_data
        if cycle.response_complete and not cycle.more_body and not next_one:
            self._idle_since = self.loop.time()
            _cancel(self._request_deadline)  # uvicorn closes it after `timeout_keep_alive`
        else:
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

    def _make_room(self) -> None:
        others = (one for one in self.connections if isinstance(one, Connection) and one is not self)
        idle = [(one._idle_since, one) for one in others if one._idle_since is not None]
        if idle:
            _, longest = min(idle, key=lambda pair: pair[0])
            longest._idle_since = None
            longest.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
