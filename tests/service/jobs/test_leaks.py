"""Job after job in one server: processes, descriptors, shared memory and folders come back to where they were.

`make soak` runs twenty jobs; the short form of every day runs two.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.client import Client
from tests.service.filling import small_spec
from tests.service.processes import processes_of, server, until

pytestmark = [pytest.mark.slow, pytest.mark.long]
N_JOBS = int(os.environ.get("RHOBUST_SOAK_JOBS", "2"))
JOB_S = 150.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Linux keeps it)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary folder with a name that is short enough for Ray's sockets, for the server and all it starts."""
    folder = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_left_of_jobs(scratch: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shared = set(SHARED_MEMORY.iterdir())
    with server(data_dir, TMPDIR=str(scratch)) as url, Client(url) as client:

        def run_one() -> None:
            job = client.submit(small_spec(reuse=False, resources={"pack": "sequential"})).wait(timeout_s=JOB_S)
            assert (job.state, job.progress.completed) == ("completed", 20), job.error
            until(lambda: len(processes_of(data_dir)) == n_at_rest, "only server and dispatcher are left", 20)

        n_at_rest = len(processes_of(data_dir))
        run_one()
        before, folders = descriptors(data_dir), set(scratch.iterdir())
        for _ in range(N_JOBS):
            run_one()
        after = descriptors(data_dir)
        assert after.keys() == before.keys(), "the same server and the same dispatcher"
        assert max(after[pid] - before[pid] for pid in before) <= 2, "descriptors do not grow with the jobs"
        assert set(scratch.iterdir()) == folders
        assert len(list((data_dir / "logs").iterdir())) == N_JOBS + 1
    assert processes_of(data_dir) == []
    until(lambda: unused(set(SHARED_MEMORY.iterdir()) - shared) == set(), "no shared memory is left", 20)


def unused(paths: set[Path]) -> set[Path]:
    """Return the files that no living process has mapped: another test beside this one may have made some."""
    mapped = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mapped |= {Path(one.path) for one in process.memory_maps()}
    return {path for path in paths - mapped if path.exists()}


def descriptors(data_dir: Path) -> dict[int, int]:
    """Return the number of open descriptors of each process of a server."""
    return {process.pid: psutil.Process(process.pid).num_fds() for process in processes_of(data_dir)}
