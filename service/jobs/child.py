"""The driver as a child process: started in a session of its own, asked to drain, ended with all that it started."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Self

import psutil

from benchmark.rayenv import short_folder
from benchmark.scratch import Scratch

PR_SET_PDEATHSIG = 1
STOP_GRACE_S = 2.0
DRIVER_MODULE = "service.jobs.driver"
DRAIN = "drain"
MAX_LAST_WORDS = 4096
# What a driver and Ray's workers below it may see of our environment; secrets go by pipe.
ALLOWED_VARIABLES = frozenset(
    {
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONPATH",
        "RHOBUST_CACHE_DIR",
        "RHOBUST_CHECKPOINTS_DIR",
        "RHOBUST_DATASETS_DIR",
        "RHOBUST_LOG_FORMAT",
        "RHOBUST_LOG_LEVEL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
    }
)
ALLOWED_PREFIXES = (
    "CUDA_",
    "HIP_",
    "LC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PYTORCH_",
    "RAY_",
    "ROCR_",
    "TORCH_",
)


class DriverExit(IntEnum):
    """How a driver tells its dispatcher why it ended."""

    DONE = 0
    CRASHED = 1
    ENVIRONMENT = 5
    LOST_LEASE = 6
    HOPELESS = 7  # what the job asks for cannot be, here or anywhere
    NO_DATA = 8  # a task's data is not there, until somebody brings it


@dataclass(frozen=True, slots=True)
class Orders:
    """What a driver is told, through its standard input: nothing of it is on a command line or in an environment."""

    database_url: str
    job_id: str
    attempt: int
    lease_s: float
    ray_address: str | None
    n_cpus: int | None
    parent_pid: int
    plugins: tuple[str, ...] = ()

    @classmethod
    def read(cls, stream: IO[str]) -> Self:
        """Return the orders that the first line of a stream holds."""
        told = json.loads(stream.readline())
        return cls(**{**told, "plugins": tuple(told["plugins"])})


class DriverProcess:
    """A running driver. Make it in the main thread: the kernel ends it with the thread that started it."""

    def __init__(self, process: subprocess.Popen[str], scratch: Scratch) -> None:
        self._process = process
        self._scratch = scratch
        self._draining = False

    @classmethod
    def start(cls, orders: Orders, log_path: Path, module: str = DRIVER_MODULE) -> Self:
        """Start a driver that appends its output to a log file; raises OSError when that cannot be."""
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What a killed driver and its Ray leave behind is in one folder; Ray's sockets in it need a short path.
        scratch = Scratch("rho-", short_folder())
        try:
            with log_path.open("a", encoding="utf-8") as log:
                process = subprocess.Popen(  # noqa: S603  (our own module, by this interpreter)
                    [sys.executable, "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env={**child_environment(os.environ), "TMPDIR": str(scratch.path)},
                    start_new_session=True,
                )
        except OSError:
            scratch.remove()
            raise
        driver = cls(process, scratch)
        driver._tell(json.dumps(asdict(orders)))
        return driver

    @property
    def pid(self) -> int:
        """Process id, which is the id of its session too."""
        return self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, or None when the driver still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def drain(self) -> None:
        """Ask it to start no more packs and to end when those in flight have ended or stopped."""
        if not self._draining:
            self._draining = True
            self._tell(DRAIN)

    def stop(self) -> None:
        """End it and everything it started: politely, and after two seconds by force."""
        if self._process.poll() is None:
            self._process.terminate()
            self.wait(STOP_GRACE_S)
        self.end_session()

    def end_session(self) -> None:
        """Kill what is left of the driver's session, the workers of its local Ray among it, and remove its folder."""
        deadline = time.monotonic() + STOP_GRACE_S
        while (left := list(session_members(self.pid))) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=0.2)
            self._process.poll()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._scratch.remove()

    def last_words(self) -> str:
        """Return what an ended driver said, in a sentence, of why it ended; empty if it did not come to that."""
        return self._process.stdout.read(MAX_LAST_WORDS).strip() if self._process.stdout else ""

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            raise ValueError("a driver must be started with a pipe as its standard input.")
        with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code says how
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def private_stdout() -> IO[str]:
    """Return a stream to whoever started this process, and send all other output to standard error, our log.

    What Ray's processes and libraries print then cannot be taken for our last words.
    """
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def session_members(session_id: int) -> Iterator[psutil.Process]:
    """Yield the living processes of a session; its id is not used again while one of them lives."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session_id and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that a driver inherits."""
    return {
        name: value
        for name, value in environment.items()
        if name in ALLOWED_VARIABLES or name.startswith(ALLOWED_PREFIXES)
    }


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGTERM when the parent ends (Linux); exit at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)
