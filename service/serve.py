"""The server: the API and what sends webhooks in this process, dispatchers beside it that are kept alive."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import uvicorn

from service.keeping import kept_dispatchers
from service.settings import Settings
from service.store import Store
from service.web.app import LOOPBACK_HOSTS, create_app
from service.webhooks.delivering import delivering

LIMIT_CONCURRENCY = 200


def serve(store: Store, settings: Settings, listener: socket.socket, *, shares: Sequence[int | None]) -> None:
    """Serve the API on a bound socket until SIGINT or SIGTERM, which end it in order.

    Args:
        store: open.
        settings: of this process and, by its environment, of the dispatchers.
        listener: bound, not yet listening.
        shares: one dispatcher each beside the API: CPUs that its local Ray offers; None offers all.
    """
    hosts = {*LOOPBACK_HOSTS, listener.getsockname()[0]}
    app = create_app(store, settings, hosts=hosts)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=LIMIT_CONCURRENCY,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)

    def stop() -> None:
        app.state.rhobust.is_stopping = True
        server.should_exit = True

    asyncio.run(_serve(server, listener, shares, stop, delivering(store, settings.webhook_allow)))


class _Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own handling ends the process before its dispatchers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    server: uvicorn.Server,
    listener: socket.socket,
    shares: Sequence[int | None],
    stop: Callable[[], None],
    webhooks: AbstractAsyncContextManager[None],
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with webhooks, kept_dispatchers(shares):
        await server.serve(sockets=[listener])
