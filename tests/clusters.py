"""A Ray cluster of several nodes on this machine, each with an address of its own, as if it were another machine."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from service.jobs.child import session_members
from tests.service.processes import free_port, until

START_S = 90.0
HEAD_IP = "127.0.0.2"  # Ray takes 127.0.0.1 for a name of this machine's address in its network
OBJECT_STORE_BYTES = 100 * 1024**2
ROOT = Path(__file__).parents[1]
RAY = Path(sys.executable).with_name("ray")


class Node:
    """A node of a cluster: what `ray start` starts, in a session of its own.

    Args:
        folder: for the log.
        address: on which it listens.
        arguments: of `ray start` beside those of every node.
        environment: of its processes.
    """

    def __init__(self, folder: Path, address: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.address = address
        self.log = folder / f"{address}.log"
        command = [
            *(str(RAY), "start", "--block", "--disable-usage-stats", f"--node-ip-address={address}"),
            *(f"--{name}-port={free_port()}" for name in ("dashboard-agent-listen", "metrics-export")),
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            *arguments,
        ]
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=stream, start_new_session=True, cwd=folder
            )

    @property
    def session(self) -> int:
        """Id of the session of all its processes."""
        return self.process.pid

    def kill(self) -> None:
        """End all its processes at once, as by a failure of power."""
        for member in list(session_members(self.session)):
            with contextlib.suppress(psutil.Error):
                member.kill()
        self.process.wait()


class Cluster:
    """A head that trains nothing, and nodes that come and go.

    Args:
        folder: short, for logs and Ray's own files.

    Attributes:
        environment: what a dispatcher needs to join it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        # Our tests are not installed, and the tasks that they add come from their modules.
        self._ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}
        port = free_port()
        self.address = f"{HEAD_IP}:{port}"
        self.environment = {**self._ray, "RHOBUST_RAY_ADDRESS": self.address}
        arguments = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}/r"]
        self._nodes = [Node(folder, HEAD_IP, arguments, self._own())]
        until(self._is_up, f"the head starts; {self._nodes[0].log}", START_S)

    def add(self, *, n_gpus: int = 0, **changes: str) -> Node:
        """Start a node with one CPU, and wait until it belongs to the cluster; `changes` are of its environment."""
        address = f"127.0.0.{2 + len(self._nodes)}"
        arguments = [f"--address={self.address}", "--num-cpus=1", f"--num-gpus={n_gpus}"]
        node = Node(self._folder, address, arguments, self._own(**changes))
        self._nodes.append(node)
        until(lambda: "Ray runtime started" in node.log.read_text(), f"a node starts; {node.log}", START_S)
        return node

    def close(self) -> None:
        """End every node."""
        for node in reversed(self._nodes):
            node.kill()

    def _own(self, **changes: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RHOBUST_"))}
        return {**ours, **self._ray, **changes}

    def _is_up(self) -> bool:
        return "Ray runtime started" in self._nodes[0].log.read_text()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster, without a node that trains."""
    folder = Path(tempfile.mkdtemp(prefix="rhc-", dir="/tmp"))  # Ray's sockets need a short path
    try:
        with contextlib.closing(Cluster(folder)) as opened:
            yield opened
    finally:
        shutil.rmtree(folder, ignore_errors=True)
