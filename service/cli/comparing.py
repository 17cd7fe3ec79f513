"""The command that compares a job, or a spec that is run first, with a baseline: a gate for changes of code."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.regression import Verdict
from benchmark.robustness.rendering.escaping import markdown
from service.cli.exits import ExitCode
from service.cli.jobs import UrlOption, wait_for
from service.cli.output import stderr
from service.cli.rows import Form, FormOption, print_rows_as
from service.client import Client, Job
from service.client.job import document_of

if TYPE_CHECKING:
    from service.compared import JobsCompared

SPEC_ENDINGS = (".yaml", ".yml", ".json")


class FailOn(StrEnum):
    """Which verdict ends a comparison with exit code 1."""

    REGRESSED = "regressed"
    UNDECIDED = "undecided"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(rich_help_panel="Results")(compare)


def compare(
    source: Annotated[str, typer.Argument(metavar="JOB|SPEC", help="Id of a job, or a spec that is run first.")],
    baseline: Annotated[str, typer.Option("--baseline", "-b", help="Name of a baseline, or id of a job.")],
    fail_on: Annotated[
        FailOn, typer.Option(help="What exits with 1; undecided: what may have regressed too.")
    ] = FailOn.REGRESSED,
    url: UrlOption = None,
    output: FormOption = Form.TABLE,
) -> None:
    """Say what a job, or a spec that is run first, changed against a baseline.

    A spec is trained anew, as the baseline was. Exit codes: 1 when something regressed, 3 when the run itself failed or
    nothing could be compared. `-o md` is a report for a pull request.
    """
    with Client(url) as client:
        job = _job(client, source, baseline)
        _wait(job, output)
        compared = client.compare(baseline, job.id)
    from benchmark.regression.rendering import summary

    _print(compared, output)
    stderr.print(summary(compared.comparison), highlight=False, markup=False)
    code = _code(compared, fail_on)
    if code is not ExitCode.FINE:
        raise typer.Exit(code)


def _job(client: Client, source: str, baseline: str) -> Job:
    if Path(source).suffix not in SPEC_ENDINGS:
        return client.job(source)
    job = client.submit({**document_of(source), "reuse": False}, baseline=baseline)
    stderr.print(f"submitted; dashboard: {job.url}", markup=False, highlight=False)
    return job


def _wait(job: Job, output: Form) -> None:
    """Wait for the end of a job; exit 3 unless it completed, with a report that says so."""
    try:
        wait_for(job)
    except typer.Exit:
        if output is Form.MD:
            reason = markdown(job.error or "somebody asked for it")
            typer.echo(f"### Rhobust: the run failed\n\n{markdown(job.name)} (job {job.id}) is {job.state}: {reason}")
        raise


def _print(compared: "JobsCompared", output: Form) -> None:
    if output is Form.MD:
        typer.echo(compared.report(), nl=False)
        return
    from benchmark.regression.rendering import COLUMNS, changed, row_of

    comparison = compared.comparison
    shown = changed(comparison) if output is Form.TABLE else comparison.measures
    rows = [row_of(change) for change in shown]
    if rows or output is not Form.TABLE:
        print_rows_as(output, COLUMNS, rows, documents=compared.to_dict())


def _code(compared: "JobsCompared", fail_on: FailOn) -> ExitCode:
    """Return the exit code of a comparison, and say why it is not 0 where the report does not."""
    verdict = compared.comparison.verdict
    if verdict is Verdict.REGRESSED or (verdict is Verdict.UNDECIDED and fail_on is FailOn.UNDECIDED):
        return ExitCode.REGRESSION
    lacking = compared.candidate.n_missing
    if lacking or verdict is Verdict.NOT_TESTED:
        reason = f"{lacking:,} cells have no result" if lacking else "no measure could be tested"
        stderr.print(f"rhobust: the comparison is not whole: {reason}", highlight=False, markup=False)
        return ExitCode.JOB_FAILED
    return ExitCode.FINE
