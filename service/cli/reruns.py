"""The command that trains a job again."""

from typing import Annotated

import typer

from benchmark.regression import Sameness
from service.cli.exits import ExitCode
from service.cli.jobs import PANEL, JobId, UrlOption, wait_for
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_rows_as
from service.client import Client
from service.client.reruns import COLUMNS


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(rich_help_panel=PANEL)(rerun)


def rerun(
    job_id: JobId,
    url: UrlOption = None,
    record: Annotated[
        list[str] | None,
        typer.Option("--record", metavar="ID", help="Only this record, and its whole pack; again for more."),
    ] = None,
    output: FormOption = Form.TABLE,
) -> None:
    """Train an ended job again exactly as it was, and say whether it is identical, within noise, or different.

    The exit code is 1 where it is different, and 3 where that cannot be said.
    """
    with Client(url) as client:
        job = client.job(job_id).rerun(record or None)
        stderr.print(f"job {job.id} trains it again; dashboard: {job.url}", markup=False, highlight=False)
        wait_for(job)
        answer = job.rerun_answer()
    print_rows_as(output, COLUMNS, answer.rows, documents=answer.model_dump(mode="json"))
    stderr.print(answer.facts, markup=False, highlight=False)
    if answer.verdict is None:
        raise typer.Exit(ExitCode.JOB_FAILED)
    if answer.verdict is Sameness.DIFFERENT:
        raise typer.Exit(ExitCode.REGRESSION)
