"""The app over a store, behind a real HTTP server."""

from collections.abc import Iterator

import httpx
import pytest

from service.store import Store
from tests.service.serving import serving


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases; these are about HTTP."""
    return "sqlite"


@pytest.fixture
def web(store: Store) -> Iterator[httpx.Client]:
    """A plain HTTP client of the app."""
    with serving(store) as url, httpx.Client(base_url=url) as client:
        yield client
