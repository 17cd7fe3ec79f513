"""Commands on the baselines of a server."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer

from benchmark.regression import DEFAULT_ALARM_RATE
from service.cli.exits import ExitCode
from service.cli.jobs import JobId, UrlOption
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_listing
from service.client import Baseline, Client

POLL_S = 2.0
app = typer.Typer(help="Name completed jobs, with which others are compared.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a baseline.")]


@app.command("set")
def set_baseline(name: Name, job_id: JobId, url: UrlOption = None) -> None:
    """Give a job a name, or the name another job. The job must be completed, lack no cell, and not be mixed."""
    with Client(url) as client:
        baseline = client.baselines.set(name, job_id)
    stderr.print(f"{baseline.name} is job {baseline.job_id} ({baseline.job_name})", markup=False, highlight=False)


@app.command("ls")
def list_baselines(url: UrlOption = None, output: FormOption = Form.TABLE) -> None:
    """List the baselines, oldest first."""
    with Client(url) as client:
        listing = client.baselines.list()
        found = list(listing)
    print_listing(output, listing, found)


@app.command("calibrate")
def calibrate_baseline(
    name: Name,
    alarm_rate: Annotated[
        float, typer.Option(help="False alarms a run, over all measures together.")
    ] = DEFAULT_ALARM_RATE,
    replays: Annotated[
        int | None, typer.Option(min=1, help="Jobs to train; by default the least that the rate needs.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the limits are set.")] = False,
    url: UrlOption = None,
) -> None:
    """Train the baseline's job again and again after harmless numerical changes: what they do sets its limits.

    Replays that are there count, and limits that are there hold until the new ones are set. With --wait the exit code
    is 3 when a replay failed.
    """
    with Client(url) as client:
        baseline = client.baselines.calibrate(name, alarm_rate=alarm_rate, n_replays=replays)
        if wait:
            baseline = _waited(client, baseline)
    for line in _told(baseline):
        stderr.print(line, markup=False, highlight=False)
    asked = baseline.calibration
    if wait and asked is not None and asked.problems:
        raise typer.Exit(ExitCode.JOB_FAILED)


def _waited(client: Client, baseline: Baseline) -> Baseline:
    n_done = -1
    while True:
        asked = baseline.calibration
        if asked is None or baseline.is_calibrated or asked.is_stuck:
            return baseline
        if asked.n_done != n_done:
            n_done = asked.n_done
            stderr.print(f"{n_done} of {asked.n_replays} replays", highlight=False)
        time.sleep(POLL_S)
        baseline = client.baselines.get(baseline.name)


def _told(baseline: Baseline) -> Iterator[str]:
    """Yield what there is to say of a calibration."""
    asked, limits = baseline.calibration, baseline.limits
    if asked is not None and not baseline.is_calibrated:
        yield f"{asked.n_done} of {asked.n_replays} replays have ended"
        for one in asked.problems:
            yield f"replay {one.number} (job {one.job_id or 'deleted'}): {one.problem}"
    if limits is not None:
        n = len(limits.statistics)
        yield f"margins are {limits.factor:.3g} yardsticks, by the {n} replays of job {baseline.job_id}"
        yield (
            f"false alarms a run: {100 * limits.kept_rate:.3g} % at most, and with other {n} replays up to "
            f"{100 * limits.rate_at_worst:.2g} %; {limits.alarms_a_year:.0f} a year, were something harmless changed "
            "every day"
        )


@app.command("rm")
def remove_baseline(name: Name, url: UrlOption = None) -> None:
    """Take the name away; its job stays."""
    with Client(url) as client:
        client.baselines.remove(name)
