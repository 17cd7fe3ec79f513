"""What commands print: data to standard output in the form that was asked for, all else to standard error."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.robustness import HeldEqual
from service.logs import visible

if TYPE_CHECKING:
    from benchmark.robustness import RobustnessTable

PIPE_WIDTH = 120
stderr = Console(stderr=True)


class Output(StrEnum):
    """Form of a robustness table."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    MD = "md"
    TEX = "tex"


class ListOutput(StrEnum):
    """Form of a list or of one thing."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the table.")]
ViewOption = Annotated[
    HeldEqual | None, typer.Option("--view", help="What is held equal; by default what the budgets do.")
]
ListOption = Annotated[ListOutput, typer.Option("--output", "-o", help="Form of the output.")]


def stdout() -> Console:
    """Return the console of standard output; wide enough for tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def print_table(table: "RobustnessTable", output: Output) -> None:
    """Print a robustness table."""
    from benchmark.robustness import render_csv, render_latex, render_markdown, render_parquet, render_rich

    if output is Output.TABLE:
        stdout().print(render_rich(table))
    elif output is Output.JSON:
        print_json(table.to_dict())
    elif output is Output.PARQUET:
        refuse_terminal(output)
        typer.echo(render_parquet(table), nl=False)
    else:
        render = {Output.CSV: render_csv, Output.MD: render_markdown, Output.TEX: render_latex}[output]
        typer.echo(render(table), nl=False)


def refuse_terminal(form: str) -> None:
    """Refuse to print what is no text to a terminal."""
    if form == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("parquet is for a file: put `> FILE.parquet` behind the command.")


def print_json(document: object) -> None:
    """Print a document as JSON."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head; texts are taken literally."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if value is None else visible(str(value))) for value in row))
    stdout().print(table)
