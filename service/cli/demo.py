"""The demonstration: a server, a job over HTTP, its progress and its table."""

import contextlib
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from service.background import running_server
from service.cli.exits import ExitCode
from service.cli.output import PIPE_WIDTH, stderr
from service.client import Client, Job
from service.environment import EnvironmentProblemError
from service.settings import Settings


def demonstrate(spec_path: Path, port: int) -> int:
    """Start a server, submit a spec, show progress and table; serve on until Ctrl-C at a terminal.

    Args:
        spec_path: what to run.
        port: of the server; a free one is taken where it is in use.

    Returns:
        The exit code: 0 when the job completed.

    Raises:
        EnvironmentProblemError: when the server does not start, or cannot run the job on this machine.
    """
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    with running_server(port) as (url, server), Client(url) as client:
        job = client.submit(spec_path)
        n_cells = job.progress.total
        console.print(f"Submitted {spec_path} to {url}: {n_cells} training runs.", highlight=False, markup=False)
        try:
            job.wait(progress=True, on_poll=_check_environment)
        except KeyboardInterrupt:
            job.cancel()
            stderr.print("Cancelled; what is recorded stays, and the next demonstration goes on from there.")
            return ExitCode.JOB_FAILED
        if job.state != "completed":
            stderr.print(f"rhobust: the job is {job.state}: {job.error}", markup=False, highlight=False)
            return ExitCode.JOB_FAILED
        from benchmark.robustness import render_rich

        console.print(render_rich(job.table()))
        console.print(_farewell(job, stays=sys.stdout.isatty()), highlight=False, markup=False, soft_wrap=True)
        if sys.stdout.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                server.wait()
        return ExitCode.FINE


def _check_environment(job: Job) -> None:
    """Give up where the job went back into the queue without a crash: this machine cannot run it."""
    if job.state == "queued" and job.error and not job.crashes:
        job.cancel()
        raise EnvironmentProblemError(job.error)


def _farewell(job: Job, *, stays: bool) -> str:
    python = shlex.quote(sys.executable)
    opening = f"{python} -m webbrowser {job.url}"
    address = urlsplit(job.url)
    if stays:
        return f"The server is at http://{address.netloc}; open the dashboard with\n    {opening}\nCtrl-C stops it."
    folder = shlex.quote(str(Settings().data_dir))
    again = f"RHOBUST_DATA_DIR={folder} {python} -m service.cli serve --port {address.port}"
    return (
        f"The server was at http://{address.netloc}; start it again with\n    {again}\n"
        f"and open the dashboard with\n    {opening}"
    )
