"""Scratch folders whose maker can be asked for: it holds a lock in them, which the kernel lets go when it ends."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

MARKER = ".rhobust"


class Scratch:
    """A new folder of a process that may die at any time.

    Args:
        prefix: how its name starts.
        folder: where it is made; None for the usual place.

    Attributes:
        path: the folder.
    """

    def __init__(self, prefix: str, folder: str | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        self._lock: int | None = None
        with contextlib.suppress(OSError):  # a file system without locks: nobody can tell later whose it was
            self._lock = os.open(self.path / MARKER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder with all that is in it; nothing happens if it is gone."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def scratch_folder(prefix: str, folder: str | None = None) -> Iterator[str]:
    """Give the path of a new folder, and remove it at the end."""
    scratch = Scratch(prefix, folder)
    try:
        yield str(scratch.path)
    finally:
        scratch.remove()


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Say whether the maker of a folder of ours has ended, and keep that so within the block.

    A folder without a marker is not known to be ours.
    """
    try:
        lock = os.open(path / MARKER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_free = False
        else:
            is_free = True
        yield is_free
    finally:
        os.close(lock)
