"""Dispatchers as processes beside this one: each started again when it dies, all ended in order."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STOP_S = 20.0
logger = logging.getLogger("rhobust.keeping")


def cpu_shares(n_shares: int, n_cpus: int) -> list[int]:
    """Return how CPUs are split: every share has one at least, and none has two more than another.

    Raises:
        ValueError: when there are fewer CPUs than shares.
    """
    if n_shares > n_cpus:
        raise ValueError(f"n_shares <= n_cpus must hold, but got n_shares={n_shares}, n_cpus={n_cpus}.")
    return [n_cpus // n_shares + (place < n_cpus % n_shares) for place in range(n_shares)]


def keep_until_stopped(shares: Sequence[int | None]) -> None:
    """Keep a dispatcher for each share of the CPUs until SIGINT or SIGTERM, which end them in order."""
    asyncio.run(_keep_until_stopped(shares))


async def _keep_until_stopped(shares: Sequence[int | None]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with kept_dispatchers(shares):
        await stopping.wait()


@contextlib.asynccontextmanager
async def kept_dispatchers(shares: Sequence[int | None]) -> AsyncIterator[None]:
    """Keep a dispatcher for each share of the CPUs, in an event loop of the main thread.

    The kernel then ends them with this process, and not with a thread that ends earlier.

    Args:
        shares: CPUs that the local Ray of each offers; None offers all.
    """
    keepers = [asyncio.create_task(_keep(n_cpus)) for n_cpus in shares]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _keep(n_cpus: int | None) -> None:
    """Run a dispatcher, and another one when it ends; end it when this task is cancelled."""
    command = [sys.executable, "-m", "service.cli", "worker", "--parent", str(os.getpid())]
    if n_cpus is not None:
        command += ["--cpus", str(n_cpus)]
    pause = FIRST_PAUSE_S
    while True:
        try:
            # A session of its own: Ctrl-C in the terminal is ours to pass on.
            process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        except OSError as error:  # too many processes or files, too little memory: that may pass
            pause = min(2 * pause, LONGEST_PAUSE_S)
            logger.error("no dispatcher can be started: %s; it is tried again in %g s", error, pause)
            await asyncio.sleep(pause)
            continue
        try:
            started = asyncio.get_running_loop().time()
            code = await process.wait()
            lasted = asyncio.get_running_loop().time() - started
        except asyncio.CancelledError:
            await _stop(process)
            raise
        pause = FIRST_PAUSE_S if lasted > LONGEST_PAUSE_S else min(2 * pause, LONGEST_PAUSE_S)
        logger.error("a dispatcher ended with code %s; it is started again in %g s", code, pause)
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
