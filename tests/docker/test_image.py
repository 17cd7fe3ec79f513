"""The image, built without a Docker daemon: migration, API, worker, a job and its table, all from it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from service.client import Client
from service.jobs.child import session_members
from tests.service.filling import small_spec
from tests.service.postgres import own_postgres
from tests.service.processes import free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.nightly]
ROOT = Path(__file__).parents[2]
TAG = "localhost/rhobust:test"
BUILD_S = 1_500.0
START_S = 120.0
UID = 10001
MOUNTED = ("data", "dev", "keys", "proc", "run", "shared", "sys", "tmp")
BUILDAH = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", "BUILDER": "buildah"}


def buildah(*arguments: str, timeout_s: float = 300.0) -> str:
    done = subprocess.run(
        ["buildah", *arguments], env=BUILDAH, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def container() -> Iterator[tuple[str, str]]:
    """Build the image, and make a container of it; gives its name, and the revision that was built."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("an image is built without a daemon by root on Debian alone")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    command = [str(ROOT / "docker" / "build"), TAG]
    built = subprocess.run(command, env=BUILDAH, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    made = buildah("from", "--pull-never", TAG)
    try:
        yield made, head.stdout.strip()
    finally:
        buildah("rm", made)


class Role:
    """A role in the container, on the network of this machine, with folders of its own.

    Args:
        container: to run in.
        folder: with what the role finds as /shared, in the place of the volume /data, and as /keys.
        postgres: folder of the sockets of the database.
        variables: of its environment.
    """

    def __init__(self, container: str, folder: Path, postgres: Path, **variables: str) -> None:
        mounts = {folder / "data": "/shared", folder / "keys": "/keys", postgres: str(postgres)}
        variables = {**variables, "RHOBUST_DATA_DIR": "/shared", "RHOBUST_CACHE_DIR": "/shared/cache"}
        self._command = [
            *("buildah", "run", "--user", "rhobust"),
            *(f"--volume={here}:{there}" for here, there in mounts.items()),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *(container, "--", "role"),
        ]

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Do something to its end."""
        command = [*self._command, *arguments]
        return subprocess.run(command, env=BUILDAH, capture_output=True, text=True, timeout=START_S, check=False)

    @contextlib.contextmanager
    def running(self, log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Do something beside the test."""
        with log.open("wb") as stream:
            command = [*self._command, *arguments]
            process = subprocess.Popen(command, env=BUILDAH, stdout=stream, stderr=stream, start_new_session=True)
        try:
            yield process
        finally:
            for member in list(session_members(process.pid)):
                with contextlib.suppress(Exception):
                    member.kill()
            process.wait(30)


def files_of(container: str) -> set[str]:
    """Return the files of a container's own file system."""
    root = Path(buildah("mount", container))
    try:
        found = (path.relative_to(root) for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        return {
            str(path) for path in found if path.parts[0] not in ("data", "dev", "keys", "proc", "run", "sys", "tmp")
        }
    finally:
        buildah("umount", container)


def test_the_service_runs_from_the_image(container: tuple[str, str], tmp_path: Path) -> None:
    name, revision = container
    before = files_of(name)
    port = free_port()
    for folder in (tmp_path / "data", tmp_path / "keys"):
        folder.mkdir()
        os.chown(folder, UID, UID)
    with own_postgres() as postgres, contextlib.ExitStack() as running:
        for folder in (postgres.folder, postgres.folder / "data"):
            folder.chmod(0o711)  # the role is another user, and the socket is in there
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bare")
        url = postgres.url.replace("/postgres?", "/bare?")
        role = Role(name, tmp_path, postgres.folder, RHOBUST_DATABASE_URL=url, RHOBUST_PORT=str(port))
        refused = role("worker", "--cpus", "2")
        assert (refused.returncode, "rhobust db upgrade" in refused.stderr) == (5, True), refused.stderr
        upgraded = role("db", "upgrade", "--admin-key-file", "/keys/admin")
        assert upgraded.returncode == 0, upgraded.stderr
        key = (tmp_path / "keys" / "admin").read_text().strip()
        api_log, worker_log = tmp_path / "api.log", tmp_path / "worker.log"
        running.enter_context(role.running(api_log, "serve", "--port", str(port), "--no-dispatcher"))
        url = f"http://127.0.0.1:{port}"
        until(lambda: role("healthy", "serve").returncode == 0, f"the API is well; {api_log}", START_S)
        running.enter_context(role.running(worker_log, "worker", "--cpus", "2"))
        assert httpx.get(f"{url}/version").json()["revision"] == revision
        with Client(url, api_key=key) as client:
            job = client.submit(small_spec()).wait(timeout_s=300)
            assert job.state == "completed", (job.error, worker_log.read_text())
            rows = job.table().rows
            assert "20 of 20 cells are to be trained" in job.logs()
        assert {row.optimizer for row in rows} == {"gd", "sam", "msam"}
    assert files_of(name) == before, "nothing is written but to /data, /keys, /tmp and /dev"
    owners = {path.stat().st_uid for path in (tmp_path / "data").rglob("*")}
    assert owners == {UID}
