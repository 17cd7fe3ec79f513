"""The API key that goes with every request: from an argument, the environment or a file, and never in the clear."""

from collections.abc import Generator
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from service.client.errors import ClientError
from service.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Bearer(httpx.Auth):
    """Sends a key with every request to the server that it is for; unlike a header it is shown by no repr."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


def bearer(url: str, api_key: str | None, settings: Settings) -> Bearer | None:
    """Return how requests to a server carry a key, that of the settings when None is given; None without any.

    Raises:
        ClientError: when the key would go to another machine unencrypted, or cannot be one.
    """
    key = SecretStr(api_key) if api_key else settings.api_key
    if key is None:
        return None
    if not key.get_secret_value().isascii() or not key.get_secret_value().isprintable():
        raise ClientError("an API key has printable ASCII characters only, but got another: was it copied whole?")
    is_remote = urlsplit(url).hostname not in LOOPBACK
    if is_remote and urlsplit(url).scheme != "https" and not settings.insecure_http:
        raise ClientError(
            f"an API key must not be sent unencrypted to another machine, but the server is {url}: use https, or set "
            "RHOBUST_INSECURE_HTTP=1 where the network is trusted."
        )
    return Bearer(key)
