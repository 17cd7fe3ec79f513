"""A job that runs, seen by others on its machine: no port off loopback, no secret, and no Ray without the token."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from sqlalchemy import make_url

from service.jobs.child import session_members
from service.store import Store
from tests.service.filling import small_spec, submit
from tests.service.jobs.hosts import JOB_S, Host, host, n_recorded
from tests.service.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
PASSWORD = "a-password-that-stands-nowhere-else"  # noqa: S105  (trusted connections need none)
ASK_S = 60.0
SPEC = small_spec(seeds={"count": 20}, budget={"epochs": 30}, resources={"pack": "sequential"})
ASK_RAY = """
import sys
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).internal_kv_keys(b"", namespace=None, timeout=20))
"""


class Running(NamedTuple):
    """A job in the midst of its run."""

    host: Host
    driver: psutil.Process
    url: str

    def members(self) -> list[psutil.Process]:
        """Return the processes of the driver's session: the driver, Ray's own, and the workers."""
        return list(session_members(self.driver.pid))

    def token(self) -> str:
        """Return the token of its Ray, which its workers have in their environment."""
        return next(token for token in map(self._token_of, self.members()) if token)

    def ray_address(self) -> str:
        """Return where Ray's control server listens."""
        (server,) = [process for process in self.members() if "gcs_server" in process.name()]
        (port,) = {one.laddr.port for one in listeners(server)}
        return f"127.0.0.1:{port}"

    @staticmethod
    def _token_of(process: psutil.Process) -> str:
        with contextlib.suppress(psutil.Error):
            return process.environ().get("RAY_AUTH_TOKEN", "")
        return ""


def listeners(process: psutil.Process) -> list[Any]:
    return [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]


@pytest.fixture
def backend() -> str:
    """The database whose address holds a password."""
    return "postgresql"


@pytest.fixture
def running(store: Store, own_database_url: str, tmp_path: Path) -> Iterator[Running]:
    """A job that trains."""
    url = make_url(own_database_url).set(password=PASSWORD).render_as_string(hide_password=False)
    job = submit(store, SPEC)
    with host(url, tmp_path / "host") as only:
        until(lambda: n_recorded(store, job) >= 3, f"the first records; {only.log.read_text()}", JOB_S)
        yield Running(only, only.started_driver(), url)


def test_a_running_job_listens_on_loopback_keeps_its_secrets_and_answers_to_its_token(running: Running) -> None:
    """One test for all: a job that runs is dear."""
    assert_loopback_only(running)
    assert_secrets_are_nowhere(running)
    assert_token_is_needed(running)


def assert_loopback_only(running: Running) -> None:
    places = {}
    for process in running.members():
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker may just end
            places[process.name(), process.pid] = {one.laddr.ip for one in listeners(process)}
    assert {"gcs_server", "raylet"} <= {name for (name, _), found in places.items() if found}, places
    for found in places.values():
        assert all(ip_address(place.removeprefix("::ffff:")).is_loopback for place in found), places


def assert_secrets_are_nowhere(running: Running) -> None:
    texts = []
    for process in running.members():
        with contextlib.suppress(psutil.NoSuchProcess):
            texts.append("\n".join([*process.cmdline(), *process.environ().values()]))
    token = running.token()
    assert any(token in text for text in texts), "environments are read"
    secrets = (PASSWORD, running.url)
    assert [text for text in texts if any(secret in text for secret in secrets)] == []
    scratch = Path(running.driver.environ()["TMPDIR"])
    contents = {
        path: content for path in files(scratch, running.host.log.parent) if (content := read(path)) is not None
    }
    assert "tuner.pkl" in {path.name for path in contents}, "Tune pickles its callbacks into it"
    assert running.host.log in contents, "so is the dispatcher's log"
    assert any(path.parent == running.host.data_dir / "logs" for path in contents), "and the job's"
    for secret in (*secrets, token):
        assert [path for path, content in contents.items() if secret.encode() in content] == []


def assert_token_is_needed(running: Running) -> None:
    address = running.ray_address()
    for token in (None, "0" * 64):
        refused = ask_ray(address, token)
        assert refused.returncode != 0, refused.stdout
        assert "InvalidAuthToken" in refused.stderr
    answered = ask_ray(address, running.token())
    assert answered.returncode == 0, answered.stderr


def files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def read(path: Path) -> bytes | None:
    """Return what a file holds; None where it was removed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def ask_ray(address: str, token: str | None) -> "subprocess.CompletedProcess[str]":
    """Ask Ray's control server for something, as another user of the machine could, and print the answer."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if token is not None:
        ours |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command = [sys.executable, "-c", ASK_RAY, address]
    return subprocess.run(command, env=ours, timeout=ASK_S, capture_output=True, text=True, check=False)
