"""A server as a process of its own, for as long as somebody needs it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx

from service.environment import EnvironmentProblemError, bind

START_S = 60.0
STOP_S = 30.0


def _free_port(port: int) -> int:
    try:
        listener = bind("127.0.0.1", port)
    except EnvironmentProblemError:
        listener = bind("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_server(port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a server as a process of its own; yields its URL and the process once it is ready.

    Args:
        port: to listen on; a free one is taken where it is 0 or in use.

    Raises:
        EnvironmentProblemError: when it ends, or is not ready in time.
    """
    port = _free_port(port)
    url = f"http://127.0.0.1:{port}"
    # A session of its own: Ctrl-C is for us, and we stop the server then.
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port), "--parent", str(os.getpid())]
    # Its messages would stand between the lines of the progress bar.
    quiet = {"RHOBUST_LOG_LEVEL": "WARNING", **os.environ}
    process = subprocess.Popen(command, env=quiet, start_new_session=True)  # noqa: S603  (ours, by this interpreter)
    try:
        _await_ready(process, url)
        yield url, process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EnvironmentProblemError(f"the server ended with code {process.returncode} before it was ready.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise EnvironmentProblemError(f"the server at {url} was not ready after {START_S:g} s.")
