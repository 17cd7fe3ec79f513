"""Refuse, before any SQL, what one of the databases would refuse or change: both then behave alike."""

import math
from collections.abc import Mapping
from typing import Any

from benchmark.canonical import canonical_json
from service.store.errors import InvalidValueError

MAX_LABEL = 200
MAX_SMALL = (1 << 31) - 1
MAX_BIG = (1 << 63) - 1


def text(name: str, value: str, *, limit: int | None = None) -> str:
    """Return a text that every database keeps as it is."""
    if "\0" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
        raise InvalidValueError(f"{name} must not hold NUL or half a surrogate pair, but got {value!r}.")
    if limit is not None and len(value) > limit:
        raise InvalidValueError(f"{name} must have at most {limit} characters, but got {len(value)}.")
    return value


def message(value: str) -> str:
    """Return a text for people with what no database keeps (NUL, half a surrogate pair) replaced by U+FFFD."""
    return "".join(
        "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in value
    )


def integer(name: str, value: int, *, low: int = 0, high: int = MAX_SMALL) -> int:
    """Return an integer that lies in a range."""
    if not low <= value <= high:
        raise InvalidValueError(f"{low} <= {name} <= {high} must hold, but got {name}={value!r}.")
    return value


def seconds(name: str, value: float) -> float:
    """Return a finite duration that is not negative."""
    if not 0 <= value < math.inf:
        raise InvalidValueError(f"{name} must be finite and not negative, but got {name}={value!r}.")
    return float(value)


def measure(value: float | None) -> float | None:
    """Return a number for a column; NaN, which the databases treat differently, becomes NULL."""
    return None if value is None or math.isnan(value) else float(value)


def document(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values that JSON can hold, without NaN and infinity."""
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"{name} must be plain values that JSON can hold: {error}.") from None
    return dict(value)
