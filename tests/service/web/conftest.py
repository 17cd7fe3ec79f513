"""The app over a store, behind a real HTTP server."""

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases; these are about HTTP."""
    return "sqlite"


@pytest.fixture
def web(served: str) -> Iterator[httpx.Client]:
    """A plain HTTP client of the app."""
    with httpx.Client(base_url=served, timeout=60.0) as client:
        yield client
