"""Real processes of the command line, with a data folder of their own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil

START_S = 60.0
STOP_S = 30.0


def environment(data_dir: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a process: ours without our own settings and those of Ray, and a data folder."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RHOBUST_"))}
    return {**ours, "RHOBUST_DATA_DIR": str(data_dir), "COLUMNS": "120", "NO_COLOR": "1", **changes}


def rhobust(
    *arguments: str, env: Mapping[str, str], timeout_s: float = 120.0, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, env=env, timeout=timeout_s, capture_output=True, text=True, cwd=cwd, check=False)


@contextlib.contextmanager
def running(*arguments: str, env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command beside the test, its output in a file; stop it at the end."""
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "service.cli", *arguments]
        process = subprocess.Popen(command, env=env, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def server(data_dir: Path, *arguments: str, **variables: str) -> Iterator[str]:
    """Run `rhobust serve`; yields its URL once it is ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = data_dir.parent / f"server-{port}.log"
    with running("serve", "--port", str(port), *arguments, env=environment(data_dir, **variables), log=log) as process:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(url)

        until(is_ready, "the server is ready", START_S)
        yield url


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no more; one that nobody waited for may still be listed."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Return the living processes whose environment names a data folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = process.environ().get("RHOBUST_DATA_DIR") == str(data_dir)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
