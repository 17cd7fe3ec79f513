"""What this machine must offer before a role starts: a data folder, a store, a free port, and Ray."""

import errno
import ipaddress
import socket
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.settings import Settings

if TYPE_CHECKING:
    from service.store import Store

RAY_TIMEOUT_S = 5.0


class EnvironmentProblemError(Exception):
    """This machine does not offer what a role needs; the message says what to do."""


def open_store(settings: Settings) -> "Store":
    """Open the store of the settings; the embedded default is made when it is not there.

    Raises:
        EnvironmentProblemError: when the data folder cannot be made.
        SchemaError: when the database has another schema than this version needs.
        UnavailableError: when the database cannot be reached or written.
    """
    from service.store import Store  # loads SQLAlchemy

    make_data_dir(settings)
    return Store.open(settings.store_url, create=settings.is_embedded)


def make_data_dir(settings: Settings) -> None:
    """Make the data folder, readable by its owner alone; raises EnvironmentProblemError when that cannot be."""
    folder = settings.data_dir.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = (
            f"cannot make the data folder {folder}: {error.strerror}. Set RHOBUST_DATA_DIR to one that can be written."
        )
        raise EnvironmentProblemError(message) from error


def check_ray(settings: Settings) -> None:
    """Check that Ray is installed and, where it has an address, answers there; raises EnvironmentProblemError."""
    if find_spec("ray") is None:
        raise EnvironmentProblemError("Ray is not installed here; install it with: pip install 'ray[tune]'.")
    address = settings.ray_address
    if not address or address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise EnvironmentProblemError(f"RHOBUST_RAY_ADDRESS must be HOST:PORT, but got {address!r}.")
    try:
        socket.create_connection((host, port), timeout=RAY_TIMEOUT_S).close()
    except OSError as error:
        hint = "Start it, or unset the variable for a local Ray."
        message = f"no Ray answers at RHOBUST_RAY_ADDRESS={address}: {error}. {hint}"
        raise EnvironmentProblemError(message) from error


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 takes a free one.

    Raises:
        EnvironmentProblemError: when there is no such address here, or the port is in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise EnvironmentProblemError(f"--host must be an address of this machine, but got {host}: {error}.") from error
    family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)  # localhost is 127.0.0.1 to our clients
    # The protocol is named: asyncio leaves Nagle's algorithm on where it is not, and each answer waits 40 ms for that.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise EnvironmentProblemError(f"--host must be an address of this machine, but got {host}.") from error
        message = (
            f"cannot listen on {host}:{port}: {error.strerror}. Stop what uses the port, or choose another with --port."
        )
        raise EnvironmentProblemError(message) from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether an address or a name is of this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Check that a server can show a certificate; raises EnvironmentProblemError."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        message = (
            f"--ssl-certfile {certificate} and --ssl-keyfile {key or certificate} must hold a certificate and its "
            f"key, not encrypted, as PEM: {error}."
        )
        raise EnvironmentProblemError(message) from error
