"""The server: API, schedules and webhooks in this process, dispatchers beside it that are kept alive."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from service.environment import EnvironmentProblemError, is_loopback
from service.keeping import kept_dispatchers
from service.schedules.running import running_schedules
from service.settings import Settings
from service.store import Store
from service.web.app import create_app
from service.web.connections import Connection
from service.web.guard import LOOPBACK_HOSTS
from service.web.warming import warming
from service.webhooks.delivering import delivering

LIMIT_CONCURRENCY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How a server is reached.

    Attributes:
        host: as it was asked for.
        certificate: of TLS, as PEM; plain HTTP when None.
        certificate_key: where it is not in the same file.
        root_path: under which a proxy serves it.
        proxies: addresses and networks, with commas, whose forwarded headers are believed; nobody's when None.
    """

    host: str
    certificate: Path | None = None
    certificate_key: Path | None = None
    root_path: str = ""
    proxies: str | None = None

    def exposure(self, settings: Settings) -> str | None:
        """Return by what others than this machine can reach the server; None where nobody can."""
        if not is_loopback(self.host):
            return f"--host {self.host}"
        if self.proxies:
            return f"--proxy {self.proxies}"
        names = [name for name in settings.allowed_hosts if not is_loopback(name)]
        return f"RHOBUST_ALLOWED_HOSTS={','.join(names)}" if names else None


def require_key(store: Store, settings: Settings, front: Front) -> None:
    """Refuse to let others reach a server that lets everybody in; raises EnvironmentProblemError."""
    exposure = front.exposure(settings)
    if exposure is None or store.has_usable_key():
        return
    raise EnvironmentProblemError(
        f"without a usable API key the server is for loopback only, but got {exposure}; make a key first, with "
        "`rhobust keys create LABEL --scope admin`."
    )


def serve(
    store: Store, settings: Settings, listener: socket.socket, *, front: Front, shares: Sequence[int | None]
) -> None:
    """Serve the API on a bound socket until SIGINT or SIGTERM, which end it in order.

    Args:
        store: open.
        settings: of this process and, by its environment, of the dispatchers.
        listener: bound, not yet listening.
        front: how it is reached.
        shares: one dispatcher each beside the API: CPUs that its local Ray offers; None offers all.
    """
    hosts = {*LOOPBACK_HOSTS, front.host, *settings.allowed_hosts}
    app = create_app(store, settings, hosts=hosts, is_exposed=front.exposure(settings) is not None)
    server = _Server(server_config(app, front))

    def stop() -> None:
        app.state.rhobust.is_stopping = True
        server.should_exit = True

    # what is loaded stays: no collection has to walk half a million objects while requests wait
    gc.collect()
    gc.freeze()
    messages = delivering(store, settings.webhook_allow, public_url=settings.public_url)
    workers = messages, running_schedules(store), warming(app.state.rhobust)
    asyncio.run(_serve(server, listener, shares, stop, workers))


def server_config(app: FastAPI, front: Front) -> uvicorn.Config:
    """Return how uvicorn serves an app."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=LIMIT_CONCURRENCY,
        timeout_graceful_shutdown=5,
        root_path=front.root_path,
        proxy_headers=front.proxies is not None,
        forwarded_allow_ips=front.proxies or "",
        ssl_certfile=front.certificate,
        ssl_keyfile=front.certificate_key,
    )


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
    workers: Sequence[AbstractAsyncContextManager[None]],
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with contextlib.AsyncExitStack() as stack:
        for worker in (*workers, kept_dispatchers(shares)):
            await stack.enter_async_context(worker)
        await server.serve(sockets=[listener])
