"""Durations and sizes as people write and read them: 90d, 12h, 2w; 45 s, 3 MiB."""

import re

import typer

SECONDS = {"h": 3600.0, "d": 24 * 3600.0, "w": 7 * 24 * 3600.0}
_DURATION = re.compile(r"([0-9]{1,6})([hdw])")


def duration_s(text: str) -> float:
    """Return the seconds of a duration.

    Raises:
        typer.BadParameter: if it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"a duration must be a whole number with h, d or w for hours, days or weeks, such as 90d, but got {text!r}."
        )
    return int(found[1]) * SECONDS[found[2]]


def in_words(seconds: float) -> str:
    """Return a duration in the largest unit of which it has two or more: 45 s, 12 min, 30 h, 90 d."""
    for unit, size in (("d", 24 * 3600.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_in_words(n_bytes: int) -> str:
    """Return a number of bytes in a unit that fits it."""
    size = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
