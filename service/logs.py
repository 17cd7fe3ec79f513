"""The logs of jobs in the data folder: how large they are, and their end with their job."""

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from service.settings import Settings
from service.store.submitting import ID_ALPHABET, ID_LENGTH

_JOB_ID = re.compile(rf"[{ID_ALPHABET}]{{{ID_LENGTH}}}")  # what people put there under other names is theirs
logger = logging.getLogger("rhobust.logs")


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
