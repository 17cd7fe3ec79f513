"""Keys in files: written whole, for their owner alone, never over something that is there."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from service.environment import EnvironmentProblemError
from service.keys import Scope, key_id_of, new_key
from service.store import InvalidValueError

if TYPE_CHECKING:
    from service.store import ApiKey, Store

FIRST_LABEL = "first administrator"


def new_key_in_file(path: Path) -> str:
    """Return a new key that a new file of mode 0600 holds; raises EnvironmentProblemError where that cannot be."""
    key = new_key()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise EnvironmentProblemError(f"cannot write the key to a new file {path}: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise EnvironmentProblemError(f"cannot write the key to {path}: {error.strerror}.") from error
    return key


def ensure_admin_key(store: "Store", path: Path) -> "ApiKey | None":
    """Make a key for the administrator in a file, unless one that can be used exists already.

    A key that the file holds already is let in: an earlier call may have got no further, or the operator chose it.

    Returns:
        What is known of the new key; None where none was needed.

    Raises:
        EnvironmentProblemError: where the file cannot be written, or holds something else.
    """
    if store.has_usable_key(Scope.ADMIN):
        return None
    key = _key_in(path) if path.exists() else new_key_in_file(path)
    try:
        return store.add_key(key, FIRST_LABEL, Scope.ADMIN)
    except InvalidValueError as error:
        message = f"the key in {path} lets nobody in any more: {error} Remove the file to have a new one made."
        raise EnvironmentProblemError(message) from error


def _key_in(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentProblemError(f"cannot read a key from {path}: {error}.") from error
    if key_id_of(key) is None:
        raise EnvironmentProblemError(f"the file {path} must hold an API key or not be there; it holds something else.")
    return key
