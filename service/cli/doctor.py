"""The command that looks whether all is well."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.exits import ExitCode
from service.cli.output import ListOption, ListOutput, print_json
from service.settings import Settings

if TYPE_CHECKING:
    from service.doctor import Finding

CleanOption = Annotated[
    bool, typer.Option("--clean", help="Remove left-over scratch folders that are provably nobody's.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(rich_help_panel="Upkeep")(doctor)


def doctor(clean: CleanOption = False, output: ListOption = ListOutput.TABLE) -> None:
    """Look whether this machine and the database are well, and say what to do; exit code 5 where there is a problem."""
    from service.doctor import Verdict, examine  # loads all that it examines

    findings = []
    for finding in examine(Settings(), clean=clean):
        findings.append(finding)
        if output is ListOutput.TABLE:
            typer.echo(_line(finding))
    if output is ListOutput.JSON:
        print_json([asdict(finding) for finding in findings])
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise typer.Exit(ExitCode.ENVIRONMENT)


def _line(finding: "Finding") -> str:
    remedy = f" {finding.remedy}" if finding.remedy else ""
    return f"{finding.verdict:<8} {finding.check:<12} {' '.join(finding.message.split())}{remedy}"
