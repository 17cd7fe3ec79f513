"""Conditional requests: entity tags, and 304 for who has it already."""

import functools
import re

from fastapi import Request, Response

from benchmark.canonical import content_hash
from benchmark.fingerprint import source_hash

REVALIDATE = "private, no-cache"  # may be kept, and is asked for again before it is shown
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def weak_tag(revision: int) -> str:
    """Return the tag of a job: its revision, whatever the moment adds to it."""
    return f'W/"{revision}"'


def tag_of(*parts: object) -> str:
    """Return the tag of what follows from these parts and our code. Weak: the bytes were not looked at."""
    return f'W/"{content_hash([_source(), *map(str, parts)])}"'


def headers_of(tag: str, vary: str | None = None) -> dict[str, str]:
    """Return the headers of a response that has a tag, be it 200 or 304."""
    return {"ETag": tag, "Cache-Control": REVALIDATE, **({} if vary is None else {"Vary": vary})}


def unchanged(request: Request, headers: dict[str, str]) -> Response | None:
    """Return 304 if the client says that it has what the tag in these headers names."""
    wanted = request.headers.getlist("if-none-match")
    if "*" in wanted or _opaque(headers["ETag"]) & _opaque(*wanted):
        return Response(status_code=304, headers=headers)
    return None


def _opaque(*tags: str) -> set[str]:
    """Return the tags in some headers without their weakness, which does not count here (RFC 9110, 13.1.2)."""
    return {match[1] for tag in tags for match in _TAG.finditer(tag)}


@functools.cache
def _source() -> str:
    """Return the hash of our code: after an upgrade nothing is taken for unchanged."""
    return source_hash(("benchmark", "service"))
