"""What this machine must offer before a role starts: a data folder, a store, a free port, and Ray."""

import ipaddress
import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

from service.settings import Settings
from service.store import Store

RAY_TIMEOUT_S = 5.0


class EnvironmentProblemError(Exception):
    """This machine does not offer what a role needs; the message says what to do."""


def open_store(settings: Settings) -> Store:
    """Open the store of the settings; the embedded default is made when it is not there.

    Raises:
        EnvironmentProblemError: when the data folder cannot be made.
        SchemaError: when the database has another schema than this version needs.
        UnavailableError: when the database cannot be reached or written.
    """
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
    """Return a socket that is bound to a loopback address; port 0 takes a free one.

    Raises:
        EnvironmentProblemError: when the address is not on loopback, or the port is in use.
    """
    if not _is_loopback(host):
        hint = "use 127.0.0.1, and a tunnel or proxy to it"
        message = f"without API keys the server listens on loopback only, but got --host {host}; {hint}."
        raise EnvironmentProblemError(message)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {host}:{port}: {error.strerror}. Stop what uses the port, or choose another with --port."
        )
        raise EnvironmentProblemError(message) from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
