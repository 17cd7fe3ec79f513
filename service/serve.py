"""The server: the API in this process, and a dispatcher beside it that is started again when it dies."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from service.settings import Settings
from service.store import Store
from service.web.app import LOOPBACK_HOSTS, create_app

LIMIT_CONCURRENCY = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STOP_S = 20.0
logger = logging.getLogger("rhobust.serve")


def serve(
    store: Store, settings: Settings, listener: socket.socket, *, with_dispatcher: bool, n_cpus: int | None
) -> None:
    """Serve the API on a bound socket until SIGINT or SIGTERM, which end it in order.

    Args:
        store: open.
        settings: of this process and, by its environment, of the dispatcher.
        listener: bound, not yet listening.
        with_dispatcher: whether a dispatcher runs beside the API.
        n_cpus: CPUs that the dispatcher's local Ray offers; None offers all.
    """
    hosts = {*LOOPBACK_HOSTS, listener.getsockname()[0]}
    config = uvicorn.Config(
        create_app(store, settings, hosts=hosts),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=LIMIT_CONCURRENCY,
        timeout_graceful_shutdown=5,
    )
    asyncio.run(_serve(_Server(config), listener, with_dispatcher=with_dispatcher, n_cpus=n_cpus))


class _Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own handling ends the process before its dispatcher is stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server, listener: socket.socket, *, with_dispatcher: bool, n_cpus: int | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    # The event loop is in the main thread, so the kernel ends the dispatcher with this process and not earlier.
    keeper = asyncio.create_task(_keep_dispatcher(n_cpus)) if with_dispatcher else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if keeper:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper


async def _keep_dispatcher(n_cpus: int | None) -> None:
    """Run a dispatcher, and another one when it ends; end it when this task is cancelled."""
    command = [sys.executable, "-m", "service.cli", "worker", "--parent", str(os.getpid())]
    if n_cpus is not None:
        command += ["--cpus", str(n_cpus)]
    pause = FIRST_PAUSE_S
    while True:
        # A session of its own: Ctrl-C in the terminal is ours to pass on.
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        try:
            started = asyncio.get_running_loop().time()
            code = await process.wait()
            lasted = asyncio.get_running_loop().time() - started
        except asyncio.CancelledError:
            await _stop(process)
            raise
        pause = FIRST_PAUSE_S if lasted > LONGEST_PAUSE_S else min(2 * pause, LONGEST_PAUSE_S)
        logger.error("the dispatcher ended with code %s; it is started again in %g s", code, pause)
        await asyncio.sleep(pause)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
