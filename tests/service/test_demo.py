"""The demonstration at a terminal, where it serves on until Ctrl-C."""

import contextlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from service.settings import Settings
from service.store import Store
from tests.service.filling import small_spec
from tests.service.processes import environment, free_port, processes_of

pytestmark = [pytest.mark.slow, pytest.mark.long]
TIMEOUT_S = 120.0


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        os.set_blocking(ours, False)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self._read()
            assert text in self.shown or self.process.poll() is None, self.shown
            time.sleep(0.05)

    def interrupt(self) -> int:
        """Send what Ctrl-C sends; return the exit code."""
        os.kill(self.process.pid, 2)
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            self._read()  # a full terminal would hold the program
            time.sleep(0.05)
        self._read()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing there, or nobody on the other side any more
            self.shown += os.read(self._fd, 65536).decode(errors="replace")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(small_spec(name="shown", seeds={"count": 1})))
    command = [sys.executable, "-m", "service.cli", "demo", str(path), "--port", str(free_port())]
    terminal = Terminal(command, environment(tmp_path / "data"))
    yield terminal
    terminal.close()


def test_it_shows_progress_and_table_and_serves_on_until_ctrl_c(demo: Terminal, tmp_path: Path) -> None:
    demo.wait_for("Ctrl-C stops it.\r\n")
    demo.wait_for("10/10")
    demo.wait_for("webbrowser http://127.0.0.1:")
    assert "msam" in demo.shown
    assert demo.process.poll() is None, "it serves on"
    assert demo.interrupt() == 0
    assert processes_of(tmp_path / "data") == []


def test_ctrl_c_meanwhile_cancels_the_job(demo: Terminal, tmp_path: Path) -> None:
    demo.wait_for("0/10")
    assert demo.interrupt() == 3
    assert "Cancelled; what is recorded stays" in demo.shown
    assert "Traceback" not in demo.shown
    with Store.open(Settings(data_dir=tmp_path / "data").store_url) as store:
        assert [job.state for job in store.jobs()] == ["cancelled"]
    assert processes_of(tmp_path / "data") == []
