"""The demonstration: a server, a job over HTTP, its progress and its table."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console

from benchmark import Spec
from benchmark.robustness.rendering import render_rich
from service.cli.exits import ExitCode
from service.client import Client, Job
from service.environment import EnvironmentProblemError, bind

START_S = 60.0
STOP_S = 30.0
WIDTH = 120


def demonstrate(spec_path: Path, port: int) -> int:
    """Start a server, submit a spec, show progress and table; serve on until Ctrl-C at a terminal.

    Args:
        spec_path: what to run.
        port: of the server; a free one is taken where it is in use.

    Returns:
        The exit code: 0 when the job completed.

    Raises:
        EnvironmentProblemError: when the server does not start.
    """
    spec = Spec.from_file(spec_path)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    with running_server(port) as url, Client(url) as client:
        job = client.submit(spec)
        console.print(f"Submitted {spec_path} to {url}: {spec.n_cells} training runs.", highlight=False)
        job.wait(progress=True)
        if job.state != "completed":
            console.print(f"The job is {job.state}: {job.error}", style="red", markup=False)
            return ExitCode.JOB_FAILED
        console.print(render_rich(job.table()))
        console.print(_farewell(job, url, stays=sys.stdout.isatty()), highlight=False, markup=False)
        if sys.stdout.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        return ExitCode.FINE


def _farewell(job: Job, url: str, *, stays: bool) -> str:
    opening = f"{sys.executable} -m webbrowser {job.url}"
    if stays:
        return f"The server is at {url}. Open the dashboard with\n    {opening}\nCtrl-C stops the server."
    return f"The server was at {url}; `rhobust serve` starts it again. The dashboard then opens with\n    {opening}"


def _free_port(port: int) -> int:
    try:
        listener = bind("127.0.0.1", port)
    except EnvironmentProblemError:
        listener = bind("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_server(port: int) -> Iterator[str]:
    """Run a server as a process of its own; yields its URL once it is ready.

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
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EnvironmentProblemError(f"the server ended with code {process.returncode} before it was ready.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").is_success:
                return
        time.sleep(0.1)
    raise EnvironmentProblemError(f"the server at {url} was not ready after {START_S:g} s.")
