"""Commands on jobs of a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.exits import ExitCode
from service.cli.output import (
    ListOption,
    ListOutput,
    Output,
    OutputOption,
    print_facts,
    print_json,
    print_rows,
    print_table,
    stderr,
)
from service.client import Client, Job, Missing, Owner
from service.logs import MAX_TAIL_LINES
from service.states import JobState

UrlOption = Annotated[str | None, typer.Option("--url", help="Server; RHOBUST_URL by default.")]
JobId = Annotated[str, typer.Argument(help="Id of a job.")]
SpecPath = Annotated[Path, typer.Argument(help="A spec, as YAML or JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (submit, plan, ls, show, watch, logs, pause, resume, cancel, retry, extend, delete):
        app.command()(command)


def submit(
    spec: SpecPath,
    url: UrlOption = None,
    watch_it: Annotated[bool, typer.Option("--watch", help="Wait for the end and print the table.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Submit a spec as a job; its id goes to standard output."""
    if dry_run:
        plan(spec, url, ListOutput.JSON if output is Output.JSON else ListOutput.TABLE)
        return
    with Client(url) as client:
        job = client.submit(spec)
        stderr.print(f"submitted; dashboard: {job.url}", markup=False, highlight=False)
        if not watch_it:
            typer.echo(job.id)
            return
        _wait(job)
        print_table(job.table(), output)


def plan(spec: SpecPath, url: UrlOption = None, output: ListOption = ListOutput.TABLE) -> None:
    """Say what a spec would cost, without running it."""
    with Client(url) as client:
        found = client.plan(spec)
    if output is ListOutput.JSON:
        print_json(found.model_dump(mode="json"))
        return
    frame = found.to_pandas()
    print_rows(list(frame.columns), frame.to_numpy().tolist())
    stderr.print(found.facts, highlight=False)
    if found.reason:
        stderr.print(f"not known: {found.reason}", highlight=False, markup=False)


def ls(
    url: UrlOption = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs with this in their name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    output: ListOption = ListOutput.TABLE,
) -> None:
    """List jobs, newest first."""
    filters = {name: value for name, value in (("state", state), ("tag", tag), ("text", text)) if value}
    with Client(url) as client:
        jobs = [job for job, _ in zip(client.jobs(**filters), range(limit), strict=False)]
    if output is ListOutput.JSON:
        print_json([job.values for job in jobs])
        return
    rows = [(job.id, job.name, job.state, _done(job), job.values["created_at"]) for job in jobs]
    print_rows(("id", "name", "state", "cells", "submitted"), rows)


def show(job_id: JobId, url: UrlOption = None, output: ListOption = ListOutput.TABLE) -> None:
    """Show a job."""
    with Client(url) as client:
        job = client.job(job_id)
    if output is ListOutput.JSON:
        print_json(job.values)
        return
    print_facts({**_facts(job), "dashboard": job.url})


def watch(job_id: JobId, url: UrlOption = None, output: OutputOption = Output.TABLE) -> None:
    """Wait for the end of a job, and print its robustness table."""
    with Client(url) as client:
        job = client.job(job_id)
        _wait(job)
        print_table(job.table(), output)


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    tail: Annotated[int, typer.Option("-n", "--tail", min=0, max=MAX_TAIL_LINES, help="So many last lines.")] = 200,
    url: UrlOption = None,
) -> None:
    """Print the end of the log of a job's drivers."""
    with Client(url) as client:
        job = client.job(job_id)
        if not follow:
            typer.echo(job.logs(tail=tail), nl=False)
            return
        for line in job.follow_logs(tail=tail):
            typer.echo(line)


def pause(job_id: JobId, url: UrlOption = None) -> None:
    """Start no more packs of a job; those in flight finish."""
    _steer(job_id, url, "pause")


def resume(job_id: JobId, url: UrlOption = None) -> None:
    """Put a paused job back into the queue."""
    _steer(job_id, url, "resume")


def cancel(job_id: JobId, url: UrlOption = None) -> None:
    """End a job at once; what is recorded stays."""
    _steer(job_id, url, "cancel")


def retry(
    job_id: JobId,
    url: UrlOption = None,
    cell_s: Annotated[float | None, typer.Option(min=0, help="New limit for a cell, in seconds.")] = None,
    job_s: Annotated[float | None, typer.Option(min=0, help="New limit for the job, in seconds.")] = None,
) -> None:
    """Train what is missing of an ended job."""
    limits = {name: value for name, value in (("cell_s", cell_s), ("job_s", job_s)) if value is not None}
    with Client(url) as client:
        _say(client.job(job_id).retry(limits))


def extend(job_id: JobId, spec: SpecPath, url: UrlOption = None) -> None:
    """Train what a larger spec adds to an ended job; its cells must all be in the spec."""
    with Client(url) as client:
        _say(client.job(job_id).extend(spec))


def delete(job_id: JobId, url: UrlOption = None) -> None:
    """Delete an ended job and the records that no other job uses."""
    with Client(url) as client:
        client.job(job_id).delete()


def _steer(job_id: str, url: str | None, action: str) -> None:
    with Client(url) as client:
        job = client.job(job_id)
        steered: Job = getattr(job, action)()
        _say(steered)


def _say(job: Job) -> None:
    stderr.print(f"job {job.id} is {_state(job)}", markup=False, highlight=False)


def _state(job: Job) -> str:
    return f"{job.state}, asked to {job.requested}" if job.requested else str(job.state)


def _wait(job: Job) -> None:
    """Wait for the end of a job; exit 3 unless it completed."""
    job.wait(progress=True)
    if job.state != "completed":
        stderr.print(f"rhobust: job {job.id} is {job.state}: {job.error or 'somebody asked for it'}", markup=False)
        raise typer.Exit(ExitCode.JOB_FAILED)


def _missing(missing: Missing) -> str | None:
    """Return how many cells have no result and why, and the first few that were tried; None where none is missing."""
    if not missing.total:
        return None
    lines = [f"{missing.total}: {missing.untried} untried, {missing.failed} failed, {missing.timed_out} timed out"]
    for cell in missing.first:
        values = " ".join(f"{name}={value}" for name, value in {**cell.hyperparameters, "seed": cell.seed}.items())
        status = cell.status.replace("_", " ")
        lines.append(f"{cell.task} {cell.optimizer} {values}: {cell.error or status}")
    return "\n".join(lines)


def _owner(owner: Owner | None) -> str | None:
    if owner is None:
        return None
    age, left = owner.heartbeat_age_s, owner.lease_left_s
    heartbeat = "in the foreground" if age is None else f"heard of {age:.0f} s ago"
    lease = f"its lease ends in {left:.0f} s" if left > 0 else f"its lease ended {-left:.0f} s ago"
    return f"{owner.id}, {heartbeat}; {lease}"


def _attempt(job: Job) -> str:
    retried = f", retried after attempt {job.retried_after}" if job.retried_after else ""
    return f"{job.attempt} (crashes: {job.crashes} of {job.max_crashes}{retried})"


def _done(job: Job) -> str:
    return f"{job.progress.n_done}/{job.progress.total}"


def _facts(job: Job) -> dict[str, Any]:
    progress = job.progress
    names = ("reused", "completed", "collapsed", "diverged", "timed_out", "failed")
    counts = ", ".join(f"{getattr(progress, name)} {name.replace('_', ' ')}" for name in names)
    return {
        "id": job.id,
        "name": job.name,
        "state": _state(job),
        "cells": f"{_done(job)}: {counts}",
        "missing": _missing(job.missing),
        "run by": _owner(job.owner),
        "attempt": _attempt(job),
        "tags": ", ".join(job.tags) or None,
        "submitted": job.created_at,
        "started": job.started_at,
        "ended": job.finished_at,
        "fingerprints": ", ".join(job.values["fingerprints"]) or None,
        "error": job.error,
    }
