"""Targets: which addresses the operator lets messages go to. Whoever may make webhooks must not reach more than that.

An entry of the allow-list is a pattern of host names (`hooks.example.com`, `*.example.com`, `*`), which permits https
on port 443 at public addresses; or an origin (`http://127.0.0.1:9000`), which permits its scheme, its port and private
addresses for itself alone.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, Self
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 2_000
PORTS = {"https": 443, "http": 80}
_URL = re.compile(rf"[\x21-\x7e]{{1,{MAX_URL}}}")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]+")
_PATTERN = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
# What `is_global` lets through, in this or an earlier version of Python: addresses that carry an IPv4 address, which
# could be a private one, and relays to such.
_CARRIERS = [
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
    )
]


class RefusedTargetError(ValueError):
    """Messages may not go there."""


class Origin(NamedTuple):
    """Where a URL leads."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages may go.

    Attributes:
        origin: scheme, host and port.
        path: with the query.
        trusted: whether an entry names this very origin, so that its address may be private.
    """

    origin: Origin
    path: str
    trusted: bool

    def permits(self, address: Address) -> bool:
        """Whether a connection to this address may be made."""
        if address.is_loopback:
            return self.trusted
        # A cloud tells its secrets at a link-local address: no host of the operator's is there.
        if address.is_multicast or address.is_unspecified or address.is_link_local:
            return False
        return (self.trusted or address.is_global) and not any(address in network for network in _CARRIERS)


@dataclass(frozen=True, slots=True)
class AllowList:
    """What the operator permits; empty, and so false, where webhooks are off."""

    patterns: frozenset[str] = frozenset()
    origins: frozenset[Origin] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read entries that stand with commas between them.

        Raises:
            ValueError: if one is neither a pattern of host names nor an origin.
        """
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        return cls(frozenset(_patterns(entries)), frozenset(_origin(entry) for entry in entries if "://" in entry))

    def __bool__(self) -> bool:
        return bool(self.patterns or self.origins)

    def target(self, url: str) -> Target:
        """Return where a URL leads, if messages may go there.

        Raises:
            RefusedTargetError: with the reason, if not.
        """
        origin, path = _split(url)
        trusted = origin in self.origins
        if not trusted:
            self._require_public(origin)
        target = Target(origin, path, trusted)
        address = _literal(origin.host)
        if address is not None and not target.permits(address):
            raise RefusedTargetError(f"no message is sent to the address {address}.")
        return target

    def _require_public(self, origin: Origin) -> None:
        if not self:
            raise RefusedTargetError("webhooks are off here: the operator sets RHOBUST_WEBHOOK_ALLOW to permit some.")
        name = f"{origin.scheme}://{origin.host}:{origin.port}"
        if not any(fnmatchcase(origin.host, pattern) for pattern in self.patterns):
            raise RefusedTargetError(f"no entry of RHOBUST_WEBHOOK_ALLOW permits {name}.")
        if (origin.scheme, origin.port) != ("https", PORTS["https"]):
            hint = f"only https on port 443 is, unless RHOBUST_WEBHOOK_ALLOW has {name} as an entry"
            raise RefusedTargetError(f"{name} is not permitted: {hint}.")


def _patterns(entries: Iterable[str]) -> Iterable[str]:
    for entry in entries:
        pattern = entry.lower().rstrip(".")
        if "://" in entry:
            continue
        if not _PATTERN.fullmatch(pattern):
            choices = "a host name, *.DOMAIN, *, or SCHEME://HOST:PORT"
            raise ValueError(f"an entry must be {choices}, but got {entry!r}.")
        yield pattern


def _origin(entry: str) -> Origin:
    origin, path = _split(entry)
    if path != "/":
        raise ValueError(f"an entry must end with the port, but got {entry!r}.")
    return origin


def _split(url: str) -> tuple[Origin, str]:
    """Take a URL apart, so that what is checked and what is connected to cannot be two things."""
    if not _URL.fullmatch(url):
        raise RefusedTargetError(f"a URL must be 1 to {MAX_URL:,} printable ASCII characters without spaces.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise RefusedTargetError("the URL cannot be read.") from None
    if parts.scheme not in PORTS:
        raise RefusedTargetError(f"the scheme must be https or http, but got {parts.scheme[:20]!r}.")
    if "@" in parts.netloc or "#" in url:
        raise RefusedTargetError("a URL must hold no user, password or fragment.")
    if not _HOST.fullmatch(host) or "\\" in url:
        raise RefusedTargetError("the URL must name a host by its ASCII name or its address.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, host, PORTS[parts.scheme] if port is None else port), path


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
