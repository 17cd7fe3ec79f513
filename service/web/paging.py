"""Pages of lists, and their tokens: opaque to clients, and never a fault whatever is sent as one."""

import base64
import binascii
import json
import math
from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import Query
from fastapi.exceptions import RequestValidationError

from service.store import JobOrder, JobPosition

MAX_TOKEN = 2_000
MAX_PAGE_SIZE = 500
NEXT_PAGE = "the next_page_token of the page before; without it the first page is meant"
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="so many items at most")]
PageToken = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description=NEXT_PAGE)]


class Numbered(Protocol):
    """What has a number by which lists are sorted."""

    @property
    def seq(self) -> int:
        """The number."""


def next_token(found: Sequence[Numbered], page_size: int) -> str | None:
    """Return the token of the page behind the first items of what was found; None where there is nothing more."""
    return str(found[page_size - 1].seq) if len(found) > page_size else None


def job_token(position: JobPosition, order: JobOrder) -> str:
    """Return the token of the page behind a place in a list of jobs."""
    text = json.dumps([str(order), position.value, position.seq], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def job_position(token: str, order: JobOrder) -> JobPosition:
    """Return the place in a list of jobs that a token names.

    Raises:
        RequestValidationError: if it is none of a list in this order.
    """
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        made_for, value, seq = json.loads(text)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _refused(token) from None
    is_plain = value is None or isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value))
    if made_for != order or not is_plain or isinstance(value, bool) or type(seq) is not int:
        raise _refused(token)
    return JobPosition(value, seq)


def _refused(token: str) -> RequestValidationError:
    message = f"must be the next_page_token of the same list, but got {token[:50]!r}"
    return RequestValidationError([{"type": "page_token", "loc": ("query", "page_token"), "msg": message}])
