"""Cache of data that a task generates: made once, kept on disk under its checksum."""

import hashlib
import io
import logging
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import TaskDataError

N_CHECKSUM = 16  # hexadecimal digits of the SHA-256

Arrays = dict[str, NDArray[Any]]

logger = logging.getLogger("rhobust")


def cached_arrays(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return arrays by name from the cache; where they are not in it, make them and put them there.

    The checksum of the file is part of its name, and the file comes into being whole, so any number of processes may
    do this at once. A folder that cannot be read or written costs a warning, and the arrays are made anew.

    Args:
        name: of the data with its version; letters, digits, dots, dashes and underscores.
        make: returns the arrays, none of them of objects.

    Raises:
        TaskDataError: when the file is not what its checksum says.
    """
    try:
        folder = cache_folder()
        kept = kept_arrays(folder, name)
    except (OSError, RuntimeError) as error:
        logger.warning("%s cannot be read from the cache: %s", name, error)
        return make()
    if kept is not None:
        return kept.arrays
    arrays = make()
    try:
        keep_arrays(folder, name, arrays)
    except OSError as error:
        logger.warning("%s cannot be kept in the cache: %s; set RHOBUST_CACHE_DIR to a writable folder", name, error)
    return arrays


def cache_folder() -> Path:
    """Return the folder of the cache: `$RHOBUST_CACHE_DIR`, or `rhobust` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        RuntimeError: when neither is set and there is no home.
    """
    if own := os.environ.get("RHOBUST_CACHE_DIR"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rhobust"


@dataclass(frozen=True, slots=True)
class Kept:
    """Arrays from a file, with the checksum of the file."""

    arrays: Arrays
    checksum: str


def kept_arrays(folder: Path, name: str, remedy: str = "Delete this file; it is made again.") -> Kept | None:
    """Return the arrays that a folder keeps under a name, or None where it keeps none.

    Args:
        folder: in which they lie.
        name: as that of `keep_arrays`.
        remedy: what to do with a file that is damaged.

    Raises:
        OSError: when the folder or the file cannot be read.
        TaskDataError: when the file is not what its checksum says.
    """
    found = files_of(folder, name)
    if not found:
        return None
    content = found[0].read_bytes()
    got = _checksum(content)
    if not found[0].name.endswith(f".{got}.npz"):
        detail = f"the checksum of a cached file must be that of its name, but got {got} for {found[0]}."
        raise TaskDataError(f"{detail} {remedy}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return Kept(dict(archive), got)


def files_of(folder: Path, name: str) -> list[Path]:
    """Return the files that a folder keeps under a name, in the order of their checksums; one, unless it is old."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"a name must consist of letters, digits, '.', '-' and '_', but got {name!r}.")
    return sorted(folder.glob(f"{name}.{'[0-9a-f]' * N_CHECKSUM}.npz"))


def keep_arrays(folder: Path, name: str, arrays: Arrays) -> Path:
    """Write arrays into a folder, in a file whose name has its checksum, and return its path.

    Args:
        folder: made where it is not there.
        name: of the data with its version; letters, digits, dots, dashes and underscores.
        arrays: none of them of objects.

    Raises:
        OSError: when it cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    temporary, file = folder / f"{name}.{secrets.token_hex(8)}.tmp", folder / f"{name}.{_checksum(content)}.npz"
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:N_CHECKSUM]
