"""Checkpoints: files from which the training of a cell goes on where its process was killed or told to stop."""

import contextlib
import functools
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.execution import raise_if_fatal
from benchmark.folders import data_home
from benchmark.plain import packed, unpacked

KEEP_S = 30 * 86_400.0  # that a file lies here which nobody comes back to
FORMAT = 1
_NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}[\w-]*\.(safetensors|[0-9a-f]{16}\.tmp)")
_UNUSABLE = (OSError, RuntimeError, SafetensorError)  # RuntimeError: there is no home
logger = logging.getLogger("rhobust")


def checkpoints_folder() -> Path:
    """Return the folder of checkpoints; where several machines share it, one goes on with what another began.

    It is `$RHOBUST_CHECKPOINTS_DIR`, or `rhobust/checkpoints` in `$XDG_DATA_HOME` or `~/.local/share`.

    Raises:
        RuntimeError: when neither is set and there is no home.
    """
    if own := os.environ.get("RHOBUST_CHECKPOINTS_DIR"):
        return Path(own).expanduser().absolute()
    return data_home() / "checkpoints"


class Checkpoint:
    """The checkpoint of one cell: a safetensors file, in whose header the rest stands as JSON. Nothing is unpickled.

    The file comes into being whole. What cannot be written or read costs a line in the log and no cell.

    Args:
        name: of the file, without its ending: two keys, and whatever else, with dashes between.
        cell: what decides what the file holds, plain values that JSON can hold; a file of another cell is not read.
    """

    def __init__(self, name: str, cell: Mapping[str, Any]) -> None:
        self._name, self._cell = name, dict(cell)
        self._can_be_kept = True

    def save(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write what a function gives, a state of plain values and tensors, in the place of an earlier one.

        Raises:
            Exception: what the function raises where the memory is out or the device is lost.
        """
        if not self._can_be_kept:
            return
        try:
            document, tensors = packed(state())
        except Exception as error:  # noqa: BLE001  (of an optimizer that somebody else wrote)
            raise_if_fatal(error)
            self._can_be_kept = False
            logger.warning("no checkpoint can be made of a cell: %s", error)
            return
        try:
            self._write(tensors, {"cell": json.dumps({"format": FORMAT, **self._cell}), "state": document})
        except (*_UNUSABLE, ValueError) as error:
            logger.warning("no checkpoint can be written: %s; set RHOBUST_CHECKPOINTS_DIR to a writable folder", error)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was written last, its tensors on the CPU; None where there is none for this cell."""
        try:
            path = self._path
            return self._read(path) if path.is_file() else None
        except (*_UNUSABLE, ValueError, LookupError, TypeError) as error:
            logger.warning("the checkpoint %s is not used: %s", self._name, error)
            return None

    def remove(self) -> None:
        """Remove the file, if there is one: the cell has its record."""
        try:
            self._path.unlink(missing_ok=True)
        except _UNUSABLE as error:
            logger.warning("the checkpoint %s cannot be removed: %s", self._name, error)

    @property
    def _path(self) -> Path:
        return checkpoints_folder() / f"{self._name}.safetensors"

    def _write(self, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
        path = self._path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune_once(path.parent)
        temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        try:
            save_file(tensors, temporary, texts)
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any]:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            found = json.loads(texts["cell"])
            if found != {"format": FORMAT, **self._cell}:
                raise ValueError(f"it must be of {self._cell}, but is of {found}")
            # copies: to what is mapped from the file an optimizer would write
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (no dictionary)
        state: dict[str, Any] = unpacked(texts["state"], tensors)
        return state


def prune_checkpoints(folder: Path, older_than_s: float = KEEP_S) -> None:
    """Remove the checkpoints of a folder, and what is left of some, that were written so long ago."""
    before = time.time() - older_than_s
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if _NAME.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink()


@functools.cache
def _prune_once(folder: Path) -> None:
    """Prune a folder once a process, and only where long cells are trained."""
    try:
        prune_checkpoints(folder)
    except OSError as error:  # another process does the same
        logger.info("old checkpoints in %s are left: %s", folder, error)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
