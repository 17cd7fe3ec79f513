"""The demonstration: a server, a job over HTTP, its progress and its table."""

import contextlib
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from benchmark import Spec
from benchmark.robustness.rendering import render_rich
from service.background import running_server
from service.cli.exits import ExitCode
from service.cli.output import PIPE_WIDTH
from service.client import Client, Job
from service.settings import Settings


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
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    with running_server(port) as url, Client(url) as client:
        job = client.submit(spec)
        console.print(f"Submitted {spec_path} to {url}: {spec.n_cells} training runs.", highlight=False)
        job.wait(progress=True)
        if job.state != "completed":
            console.print(f"The job is {job.state}: {job.error}", style="red", markup=False)
            return ExitCode.JOB_FAILED
        console.print(render_rich(job.table()))
        console.print(_farewell(job, stays=sys.stdout.isatty()), highlight=False, markup=False)
        if sys.stdout.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        return ExitCode.FINE


def _farewell(job: Job, *, stays: bool) -> str:
    opening = f"{sys.executable} -m webbrowser {job.url}"
    address = urlsplit(job.url)
    if stays:
        return f"The server is at http://{address.netloc}; open the dashboard with\n    {opening}\nCtrl-C stops it."
    again = f"RHOBUST_DATA_DIR={Settings().data_dir} {sys.executable} -m service.cli serve --port {address.port}"
    return (
        f"The server was at http://{address.netloc}; start it again with\n    {again}\n"
        f"and open the dashboard with\n    {opening}"
    )
