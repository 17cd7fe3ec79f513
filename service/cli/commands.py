"""The command `rhobust`: its commands put together, and every expected error in one line."""

import os
import sys
from typing import Annotated

import typer

from service.build import short_version
from service.cli import (
    alerts,
    baselines,
    building,
    catalogue,
    comparing,
    database,
    doctor,
    jobs,
    keys,
    reruns,
    results,
    roles,
    schedules,
    steering,
    upkeep,
    webhooks,
)
from service.cli.exits import EXPECTED, ExitCode, exit_code, message

app = typer.Typer(
    name="rhobust",
    help="How robust is an optimizer to its hyperparameters?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (jobs, steering, reruns, results, comparing, roles, catalogue, upkeep, doctor):
    module.register(app)
app.add_typer(database.app, name="db", rich_help_panel="Upkeep")
app.add_typer(building.app, name="build", rich_help_panel="Upkeep")
app.add_typer(keys.app, name="keys", rich_help_panel="Upkeep")
app.add_typer(alerts.app, name="alerts", rich_help_panel="Results")
app.add_typer(baselines.app, name="baseline", rich_help_panel="Results")
app.add_typer(schedules.app, name="schedule", rich_help_panel="Jobs of a server")
app.add_typer(webhooks.app, name="webhooks", rich_help_panel="Jobs of a server")


def _version(value: bool) -> None:
    if value:
        typer.echo(short_version())
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def run() -> int:
    """Run the command line and return its exit code; an expected error is one message on standard error."""
    try:
        code = app(
            prog_name="rhobust", standalone_mode=False
        )  # Typer's own way shows an error in a frame of many lines
        sys.stdout.flush()
    except EXPECTED as error:
        typer.echo(f"rhobust: {message(error)}", err=True)
        return exit_code(error)
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _write_no_more()  # whoever read has enough
        return ExitCode.BROKEN_PIPE
    except OSError as error:  # a disk that is full, a file that may not be read
        typer.echo(f"rhobust: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", err=True)
        _write_no_more()
        return ExitCode.ENVIRONMENT
    return code if isinstance(code, int) else ExitCode.FINE


def _write_no_more() -> None:
    """Let what Python would still write to standard output at its end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: typer.TyperException) -> int:
    """Say in a line what is wrong with a command line; a command without anything has shown its help."""
    context: typer.Context | None = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).removeprefix("Invalid value: ").replace("Value error, ", "")
    if context is None:
        typer.echo(f"rhobust: {text}", err=True)
    elif text:
        hint = f"See `{context.command_path} --help`."
        typer.echo(f"{context.command_path}: {text if text.endswith(('.', '?', '!')) else f'{text}.'} {hint}", err=True)
    return error.exit_code
