"""Commands that change jobs of a server."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from service.cli.completion import complete_job_ids
from service.cli.exits import ExitCode
from service.cli.jobs import PANEL, JobId, SpecPath, UrlOption, print_plan, state_of
from service.cli.output import stderr
from service.cli.rows import Form, FormOption
from service.client import Client, Job, ProblemError, ServerFaultError
from service.states import Action, IllegalTransitionError, require_allowed

JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.", autocompletion=complete_job_ids)]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (pause, resume, cancel, retry, extend, delete):
        app.command(rich_help_panel=PANEL)(command)


def pause(jobs: JobIds, url: UrlOption = None) -> None:
    """Start no more packs of jobs; those in flight finish if they are fused, else they stop, and go on later."""
    _each(jobs, url, lambda job: _say(job.pause()))


def resume(jobs: JobIds, url: UrlOption = None) -> None:
    """Put paused jobs back into the queue."""
    _each(jobs, url, lambda job: _say(job.resume()))


def cancel(jobs: JobIds, url: UrlOption = None) -> None:
    """End jobs at once; what is recorded stays."""
    _each(jobs, url, lambda job: _say(job.cancel()))


def retry(
    jobs: JobIds,
    url: UrlOption = None,
    cell_s: Annotated[float | None, typer.Option(min=0, help="New limit for a cell, in seconds.")] = None,
    job_s: Annotated[float | None, typer.Option(min=0, help="New limit for the job, in seconds.")] = None,
) -> None:
    """Train what is missing of ended jobs."""
    limits = {name: value for name, value in (("cell_s", cell_s), ("job_s", job_s)) if value is not None}
    _each(jobs, url, lambda job: _say(job.retry(limits)))


def extend(
    job_id: JobId,
    spec: SpecPath,
    url: UrlOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Train what a larger spec adds to an ended job; its cells must all be in the spec."""
    with Client(url) as client:
        job = client.job(job_id)
        if dry_run:
            print_plan(job.plan_extension(spec), output)
        else:
            _say(job.extend(spec))


def delete(
    jobs: JobIds,
    url: UrlOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
) -> None:
    """Delete ended jobs and the records that no other job uses."""
    _each(jobs, url, _would_delete if dry_run else _delete)


def _delete(job: Job) -> None:
    job.delete()
    stderr.print(f"job {job.id} is deleted", markup=False, highlight=False)


def _would_delete(job: Job) -> None:
    require_allowed(job.state, Action.DELETE)
    n_done = job.progress.n_done
    line = f"job {job.id} ({job.name}, {job.state}, {n_done} cells with a record) would be deleted"
    stderr.print(line, markup=False, highlight=False, soft_wrap=True)


def _each(job_ids: Sequence[str], url: str | None, change: Callable[[Job], None]) -> None:
    """Change each job; one that cannot be is said, the others go on, and the exit code is 2 in the end."""
    is_refused = False
    with Client(url) as client:
        for job_id in dict.fromkeys(job_ids):
            try:
                change(client.job(job_id))
            except ServerFaultError:
                raise
            except (ProblemError, IllegalTransitionError) as error:
                typer.echo(f"rhobust: {error}", err=True)
                is_refused = True
    if is_refused:
        raise typer.Exit(ExitCode.USAGE)


def _say(job: Job) -> None:
    stderr.print(f"job {job.id} is {state_of(job)}", markup=False, highlight=False)
