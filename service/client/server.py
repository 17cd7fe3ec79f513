"""What is asked of a client by the objects that it gives."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import httpx


class Server(Protocol):
    """What a job, and what else a server has, needs of its client."""

    @property
    def url(self) -> str:
        """Address of the server."""

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return its answer."""

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request and return the JSON of its answer."""

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the JSON of a list that comes whole."""

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, a page at a time."""

    def lines(self, path: str, params: Mapping[str, Any], *, read_timeout_s: float | None = None) -> Iterator[str]:
        """Yield the lines of a text as they come."""

    def download(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield a file in pieces."""
