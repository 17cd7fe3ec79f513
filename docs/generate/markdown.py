"""Pieces of Markdown that all generated pages are made of."""

import re
from collections.abc import Iterable, Sequence

GENERATED = "*Written from the code by `make docs`.*"


def cell(text: str) -> str:
    """Return a text for one cell of a table: a single line in which bars are not columns."""
    return " ".join(text.split()).replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing where there is no row."""
    lines = ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *lines])


def page(title: str, *parts: str) -> str:
    """Return a page of parts with a line between them; empty ones are left out."""
    return "\n\n".join([f"# {title}", GENERATED, *(part.strip("\n") for part in parts if part)]) + "\n"


def paragraphs(text: str) -> str:
    """Return a text with each of its paragraphs on one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets, as Python-Markdown makes it."""
    plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def sentence(text: str) -> str:
    """Return a description with a capital letter and a full stop, as a paragraph."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", ":", "!", "?")) else ".")
