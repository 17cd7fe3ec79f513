"""Sending: one attempt, to an address that was looked up once and checked, and nothing of the answer but its status."""

import asyncio
import ipaddress
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import httpcore

from service.store import DeliveryAttempt
from service.webhooks.retrying import retry_after_s
from service.webhooks.signing import signed_headers
from service.webhooks.targets import PORTS, Address, Target

TIMEOUT_S = 5.0
GONE = 410
# A look-up cannot be broken off: threads that hang in one must not be those that write how attempts went.
_RESOLVERS = ThreadPoolExecutor(8, "rhobust-resolver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one attempt.

    Attributes:
        attempt: for the log.
        retry_after_s: what the receiver asked for.
    """

    attempt: DeliveryAttempt
    retry_after_s: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no message ever again."""
        return self.attempt.status == GONE


class RefusedAddressError(Exception):
    """A name leads to an address to which no message may go."""


async def send(
    target: Target, secret: str, message_id: str, body: bytes, context: ssl.SSLContext, *, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Post a message; whatever goes wrong is part of the answer.

    Args:
        target: where to.
        secret: with which it is signed.
        message_id: the same in every attempt.
        body: JSON.
        context: for https.
        timeout_s: for all of it: looking up the name, connecting, sending, and the head of the answer.
    """
    started = time.monotonic()
    status, error, delay = None, None, None
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _permitted_addresses(target)
            status, delay = await _post(target, addresses, secret, message_id, body, context)
        error = None if 200 <= status < 300 else "status"
    except TimeoutError:
        error = "timeout"
    except RefusedAddressError:
        error = "refused"
    except (OSError, UnicodeError):  # the latter: a name that the rules of names do not allow
        error = "unresolved"
    except httpcore.ConnectError as failure:
        error = "tls" if isinstance(failure.__context__, ssl.SSLError) else "unreachable"
    except (httpcore.NetworkError, httpcore.ProtocolError):
        error = "broken"
    return Answer(
        attempt=DeliveryAttempt(status=status, error=error, elapsed_s=time.monotonic() - started), retry_after_s=delay
    )


async def _permitted_addresses(target: Target) -> list[Address]:
    """Look the name up, once; every address must be permitted, or none is used."""
    host, port = target.origin.host, target.origin.port
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not all(target.permits(address) for address in addresses):
        raise RefusedAddressError
    return addresses


async def _post(
    target: Target, addresses: list[Address], secret: str, message_id: str, body: bytes, context: ssl.SSLContext
) -> tuple[int, float | None]:
    """Return the status of the answer and what it asks to wait; the first address that can be connected to has it.

    httpcore knows no proxy of the environment, follows no redirect, and writes no URL into a log.
    """
    scheme, host, port = target.origin
    name = f"[{host}]" if ":" in host else host
    headers = [
        ("Host", name if port == PORTS[scheme] else f"{name}:{port}"),
        ("Content-Type", "application/json"),
        ("User-Agent", f"rhobust/{version('rhobust')}"),
        ("Connection", "close"),
        *signed_headers(secret, message_id, int(time.time()), body).items(),
    ]
    async with httpcore.AsyncConnectionPool(ssl_context=context) as pool:
        for place, address in enumerate(addresses, 1):
            pinned = f"[{address}]" if address.version == 6 else str(address)
            url = f"{scheme}://{pinned}:{port}{target.path}"
            posted = pool.stream("POST", url, headers=headers, content=body, extensions={"sni_hostname": host})
            try:
                async with posted as response:
                    return response.status, _retry_after_s(response)
            except httpcore.ConnectError:
                if place == len(addresses):
                    raise
    raise AssertionError("unreachable: a name that is found has an address")


def _retry_after_s(response: httpcore.Response) -> float | None:
    for name, value in response.headers:
        if name.lower() == b"retry-after":
            return retry_after_s(value.decode("ascii", "replace"), datetime.now(UTC))
    return None
