"""What took long to compute, kept in files: a server that starts anew has the tables of ended jobs at once."""

import contextlib
import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Hashable
from pathlib import Path

MAX_BYTES = 512 * 1024**2
logger = logging.getLogger("rhobust.web")


class KeptFiles:
    """Bytes by key in a folder, the least lately used of which go first. Several threads and processes may use it.

    It is a cache: where the folder cannot be read or written, nothing is kept, and nobody fails for it.

    Args:
        folder: of the files; made with the first of them, for its owner alone.
        making: what the bytes are made by; those of another making are not found, and go in time.
        max_bytes: of all files together.
    """

    def __init__(self, folder: Path, making: str, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._making = making
        self._max_bytes = max_bytes
        self._trimming = threading.Lock()
        self._has_failed = False

    def read(self, key: Hashable) -> bytes | None:
        """Return what is kept under a key, and note that it was used."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def write(self, key: Hashable, content: bytes) -> None:
        """Keep the bytes under a key; a reader sees all of them or none."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._replace(self._path(key), content)
            with self._trimming:
                self._trim()
        except OSError as error:
            if not self._has_failed:
                logger.warning("what is computed is kept in memory alone: %s", error)
            self._has_failed = True

    def _path(self, key: Hashable) -> Path:
        return self._folder / hashlib.sha256(repr((self._making, key)).encode()).hexdigest()

    def _replace(self, path: Path, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:  # for its owner alone
            try:
                file.write(content)
                file.flush()
                Path(file.name).replace(path)
            except OSError:  # a full disk is not to hold half a file
                Path(file.name).unlink(missing_ok=True)
                raise

    def _trim(self) -> None:
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process took it
                files.append((path, path.stat()))
        n_bytes = sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda one: one[1].st_mtime):
            if n_bytes <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            n_bytes -= stat.st_size
