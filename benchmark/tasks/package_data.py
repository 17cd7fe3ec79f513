"""Data sets that ship with the package: arrays from an npz file in `data`, checked before they are used."""

import functools
import hashlib
import importlib.resources
import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import TaskDataError


@functools.cache
def package_arrays(name: str, sha256: str) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a file in `data` by name; a process reads it once, so they are shared and read-only.

    Args:
        name: of the npz file. It is never unpickled.
        sha256: of the whole file, 64 hexadecimal digits.

    Raises:
        TaskDataError: when the file is missing or not the one of this checksum; the message says what to run.
    """
    path = importlib.resources.files("benchmark.tasks") / "data" / name
    remedy = (
        "Install the package anew with `pip install --force-reinstall --no-deps rhobust`, "
        f"or in a checkout run `git checkout -- {path}`."
    )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TaskDataError(
            f"{path} must be there, with sha256 {sha256}, but it cannot be read: {error.strerror}. {remedy}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise TaskDataError(f"the sha256 of {path} must be {sha256}, but it is {found}. {remedy}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)
