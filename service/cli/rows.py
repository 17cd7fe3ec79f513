"""Rows under a head, in the form that was asked for."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel

from benchmark.robustness.rendering.escaping import csv_text, latex, markdown
from service.cli.output import print_json, print_rows
from service.client import Listing

Rows = Sequence[Sequence[object]]
T = TypeVar("T", bound=BaseModel)


class Form(StrEnum):
    """Form of rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"
    TEX = "tex"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="Form of the output.")]


def print_rows_as(form: Form, columns: Sequence[str], rows: Rows, *, documents: object = None) -> None:
    """Print rows to standard output.

    Args:
        form: in which.
        columns: their names.
        rows: their values; None is an empty cell, and numbers are rounded in the table for people alone.
        documents: what is printed as JSON; the rows with their names when None.
    """
    if form is Form.TABLE:
        print_rows(columns, [[_shown(value) for value in row] for row in rows])
    elif form is Form.JSON:
        named = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        print_json(named if documents is None else documents)
    else:
        render = {Form.CSV: _csv, Form.MD: _markdown, Form.TEX: _latex}[form]
        typer.echo(render([columns, *([_text(value) for value in row] for row in rows)]), nl=False)


def print_listing(form: Form, listing: Listing[T], found: Sequence[T], *, exclude: set[str] | None = None) -> None:
    """Print items of a list of a server to standard output.

    Args:
        form: in which.
        listing: the list.
        found: those of its items that are printed.
        exclude: what of them JSON does not show.
    """
    documents = [item.model_dump(mode="json", exclude=exclude) for item in found]
    print_rows_as(form, listing.columns, list(map(listing.row_of, found)), documents=documents)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair a line; what is None is left out."""
    print_rows(("", ""), [(name, _shown(value)) for name, value in facts.items() if value is not None])


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else None if _is_nan(value) else value


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return f"{value:.4g}" if isinstance(value, float) and not _is_nan(value) else _text(value)


def _text(value: object) -> str:
    plain = _plain(value)
    return "" if plain is None else str(plain)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([csv_text(cell) for cell in line] for line in lines)
    return text.getvalue()


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = ["| " + " | ".join(map(markdown, line)) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rows]) + "\n"


def _latex(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = [" & ".join(map(latex, line)) + r" \\" for line in lines]
    begin = rf"\begin{{tabular}}{{{'l' * len(lines[0])}}}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]) + "\n"
