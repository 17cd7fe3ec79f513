"""The logs of jobs in the data folder: read as text that is safe to show, and removed with their jobs."""

import codecs
import contextlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from service.keys import ID_ALPHABET, ID_LENGTH
from service.settings import Settings

BLOCK_BYTES = 64 * 1024
MAX_TAIL_BYTES = 4 * 1024**2
MAX_TAIL_LINES = 10_000
# A terminal obeys control characters: they become their pictures (ESC is U+241B), and those without one U+FFFD.
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_VISIBLE |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
_JOB_ID = re.compile(rf"[{ID_ALPHABET}]{{{ID_LENGTH}}}")  # what people put there under other names is theirs
logger = logging.getLogger("rhobust.logs")


def visible(text: str) -> str:
    """Return a text with nothing in it that a terminal obeys, newlines and tabs apart."""
    return text.translate(_VISIBLE)


class LogReader:
    """Reads a log that a driver appends to. The file is open during a call, never between two.

    Args:
        path: of the log, which need not be there yet.
        folder: of all logs; a path that leads out of it is taken for no log.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def tail(self, n_lines: int) -> str | None:
        """Return the last lines, read from the end, and go on behind them; None where there is no log.

        Args:
            n_lines: how many; fewer come where they take more than `MAX_TAIL_BYTES`.
        """
        descriptor = self._open()
        if descriptor is None:
            return None
        try:
            self._offset = os.fstat(descriptor).st_size
            return self._text(_last_lines(descriptor, self._offset, n_lines))
        finally:
            os.close(descriptor)

    def more(self) -> str:
        """Return what was appended since the last call, a block of it at most; empty where that is nothing."""
        descriptor = self._open()
        if descriptor is None:
            return ""
        try:
            if os.fstat(descriptor).st_size < self._offset:  # somebody emptied it
                self._offset = 0
            block = os.pread(descriptor, BLOCK_BYTES, self._offset)
        finally:
            os.close(descriptor)
        self._offset += len(block)
        return self._text(block)

    def _open(self) -> int | None:
        """Return a descriptor of the log; None where there is none that may be read."""
        if not self._path.resolve().is_relative_to(self._folder.resolve()):
            return None
        try:
            # opening a pipe would wait for a writer without O_NONBLOCK
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        return None

    def _text(self, block: bytes) -> str:
        # the first bytes of a character wait in the decoder for the others
        return visible(self._decoder.decode(block))


def _last_lines(descriptor: int, end: int, n_lines: int) -> bytes:
    """Return the last lines before `end`; the very last one may lack its newline."""
    read, start = b"", end
    # the newline at the very end begins no line
    while start > 0 and read.count(b"\n", 0, -1) < n_lines and len(read) < MAX_TAIL_BYTES:
        size = min(BLOCK_BYTES, start)
        start -= size
        read = os.pread(descriptor, size, start) + read
    if n_lines == 0:
        return b""
    place = len(read) - read.endswith(b"\n")
    for _ in range(n_lines):
        place = read.rfind(b"\n", 0, place)
        if place < 0:
            break
    if place < 0 < start:  # too long to go back to where its first line begins
        place = read.find(b"\n", 0, -1)
    return read[place + 1 :]


def log_bytes(path: Path) -> int:
    """Return the size of a log; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def remove_log(path: Path) -> int:
    """Remove a log, if it is there, and return how large it was; one that cannot be removed is only a warning."""
    size = log_bytes(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the log %s cannot be removed: %s", path, error.strerror)
        return 0
    return size


def logs_before(settings: Settings, before: float) -> Iterator[tuple[str, Path]]:
    """Yield the id of a job and its log for each that was last written before a time, in seconds since 1970."""
    for path in sorted(settings.log_path("any").parent.glob("*.log")):
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            if _JOB_ID.fullmatch(path.stem) and path.lstat().st_mtime < before:
                yield path.stem, path
