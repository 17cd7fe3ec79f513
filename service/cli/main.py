"""The command `rhobust`: its commands put together, and every expected error in one line."""

import sys
from typing import Annotated

import typer

from service.build import build
from service.cli import catalogue, database, doctor, jobs, keys, results, roles, upkeep, webhooks
from service.cli.exits import EXPECTED, exit_code, message

app = typer.Typer(
    name="rhobust",
    help="How robust is an optimizer to its hyperparameters?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (roles, jobs, results, catalogue, upkeep, doctor):
    module.register(app)
app.add_typer(database.app, name="db")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")


def _version(value: bool) -> None:
    if value:
        facts = build()
        typer.echo(f"rhobust {facts.version} ({facts.revision[:12]})" if facts.revision else f"rhobust {facts.version}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an expected error is one message on standard error and an exit code of its own."""
    try:
        app()
    except EXPECTED as error:
        typer.echo(f"rhobust: {message(error)}", err=True)
        sys.exit(exit_code(error))
