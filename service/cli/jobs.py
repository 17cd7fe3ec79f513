"""Commands on jobs of a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.completion import complete_job_ids
from service.cli.exits import ExitCode
from service.cli.output import (
    ListOption,
    ListOutput,
    Output,
    OutputOption,
    print_json,
    print_table,
    stderr,
)
from service.cli.rows import Form, FormOption, print_facts, print_rows_as
from service.client import Client, Job, Missing, Owner, Plan
from service.logs import MAX_TAIL_LINES
from service.progress import flight_words
from service.states import JobState

UrlOption = Annotated[str | None, typer.Option("--url", help="Server; RHOBUST_URL by default.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.", autocompletion=complete_job_ids)]
PANEL = "Jobs of a server"
SpecPath = Annotated[Path, typer.Argument(help="A spec, as YAML or JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (submit, plan, ls, show, watch, logs):
        app.command(rich_help_panel=PANEL)(command)


def submit(
    spec: SpecPath,
    url: UrlOption = None,
    watch_it: Annotated[bool, typer.Option("--watch", help="Wait for the end and print the table.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Submit a spec as a job; its id goes to standard output."""
    if dry_run:
        if output is Output.PARQUET:
            raise typer.BadParameter("a plan comes as table, json, csv, md or tex.")
        plan(spec, url, Form(output))
        return
    with Client(url) as client:
        job = client.submit(spec)
        stderr.print(f"submitted; dashboard: {job.url}", markup=False, highlight=False)
        if not watch_it:
            typer.echo(job.id)
            return
        wait_for(job)
        print_table(job.table(), output)


def plan(spec: SpecPath, url: UrlOption = None, output: FormOption = Form.TABLE) -> None:
    """Say what a spec would cost, without running it."""
    with Client(url) as client:
        print_plan(client.plan(spec), output)


def print_plan(found: Plan, output: Form) -> None:
    """Print a price: a row an optimizer and task, and the sum on standard error."""
    print_rows_as(output, found.columns, found.rows, documents=found.model_dump(mode="json"))
    stderr.print(found.facts, highlight=False)
    if found.reason:
        stderr.print(f"not known: {found.reason}", highlight=False, markup=False)


def ls(
    url: UrlOption = None,
    state: Annotated[
        list[JobState] | None, typer.Option(help="Only jobs in this state; again for any of them.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only jobs with this tag; again for all of them.")] = None,
    task: Annotated[str | None, typer.Option(help="Only jobs with this task.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs with this in their name.")] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Only jobs of this submitter.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="By created_at, finished_at, priority or name; a minus before it puts the largest first."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    output: FormOption = Form.TABLE,
) -> None:
    """List jobs, newest first unless sorted otherwise."""
    with Client(url) as client:
        jobs = client.jobs(state=state, tag=tag, task=task, text=text, submitted_by=submitted_by, sort=sort)
        found = jobs.first(limit)
    rows = [jobs.row_of(job) for job in found]
    print_rows_as(output, jobs.columns, rows, documents=[job.values for job in found])


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
        wait_for(job)
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


def state_of(job: Job) -> str:
    """Return the state of a job, and what it was asked to do."""
    return f"{job.state}, asked to {job.requested}" if job.requested else str(job.state)


def wait_for(job: Job) -> None:
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
        "state": state_of(job),
        "cells": f"{_done(job)}: {counts}",
        "in flight": flight_words(progress.in_flight),
        "missing": _missing(job.missing),
        "run by": _owner(job.owner),
        "attempt": _attempt(job),
        "tags": ", ".join(job.tags) or None,
        "rerun of": job.rerun_of,
        "submitted": job.created_at,
        "started": job.started_at,
        "ended": job.finished_at,
        "fingerprints": ", ".join(job.values["fingerprints"]) or None,
        "error": job.error,
    }
