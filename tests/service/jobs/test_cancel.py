"""Cancel in every phase of a job's life, with a real dispatcher, driver and Ray: soon over, and nothing is left."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from service.jobs.child import session_members
from service.states import IllegalTransitionError, JobState, Request
from service.store import Job, Store
from tests.service.conftest import BACKENDS
from tests.service.filling import small_spec, submit
from tests.service.jobs.hosts import JOB_S, host, n_recorded
from tests.service.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
FAKE = "tests.service.jobs.fake_driver"
CANCEL_S = 5.0
# far more than could be trained before a cancel
SPEC = small_spec(seeds={"count": 20}, budget={"epochs": 10}, resources={"pack": "sequential"})
Phase = Callable[[Store, Job, int], bool]


def driver_exists(store: Store, job: Job, session_id: int) -> bool:
    return True


def ray_starts(store: Store, job: Job, session_id: int) -> bool:
    return any("gcs_server" in process.name() for process in members(session_id))


def cells_are_recorded(store: Store, job: Job, session_id: int) -> bool:
    return n_recorded(store, job) >= 5


def members(session_id: int) -> list[psutil.Process]:
    return list(session_members(session_id))


def record_ids(store: Store, job: Job) -> set[str]:
    return {stored.record.id for stored in store.iter_records(job.id, curves=False)}


def refuse_another_cancel(store: Store, job: Job) -> None:
    with pytest.raises(IllegalTransitionError, match="cannot cancel a job that is cancelled"):
        store.cancel(job.id)
    assert store.job(job.id).state is JobState.CANCELLED


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_job_that_is_cancelled_while_it_waits_is_never_started(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    cancelled, other = submit(store), submit(store)
    assert store.cancel(cancelled.id).state is JobState.CANCELLED
    refuse_another_cancel(store, cancelled)
    with host(own_database_url, tmp_path / "host", FAKE) as only:
        until(lambda: store.job(other.id).state.is_terminal, f"the other runs; {only.log.read_text()}", JOB_S)
    assert store.job(other.id).state is JobState.COMPLETED
    left = store.job(cancelled.id)
    assert (left.state, left.attempt, n_recorded(store, cancelled)) == (JobState.CANCELLED, 0, 0)
    assert [path.stem for path in (only.data_dir / "logs").iterdir()] == [other.id], "it has no log: no driver ran"


@pytest.mark.parametrize(
    ("backend", "phase", "n_asked"),
    [
        ("sqlite", driver_exists, 1),
        ("postgresql", ray_starts, 1),
        ("sqlite", cells_are_recorded, 2),
        ("postgresql", cells_are_recorded, 2),
    ],
    ids=["driver", "ray", "running, twice, sqlite", "running, twice, postgresql"],
)
def test_a_cancelled_job_ends_at_once_keeps_its_records_and_leaves_no_process(
    store: Store, own_database_url: str, tmp_path: Path, phase: Phase, n_asked: int
) -> None:
    job = submit(store, SPEC)
    with host(own_database_url, tmp_path / "host") as only:
        driver = only.started_driver()
        # until it has begun its own program, what is seen of it is its parent's
        until(lambda: "TMPDIR" in driver.environ(), "the driver has its environment", JOB_S)
        scratch = Path(driver.environ()["TMPDIR"])
        assert scratch.is_dir()
        until(lambda: phase(store, job, driver.pid), f"the phase is reached; {only.log.read_text()}", JOB_S)
        before = record_ids(store, job)
        asked_at = time.monotonic()
        for _ in range(n_asked):
            asked = store.cancel(job.id)
            assert (asked.state, asked.requested) == (JobState.RUNNING, Request.CANCEL)
        until(lambda: store.job(job.id).state.is_terminal, f"it is cancelled; {only.log.read_text()}", CANCEL_S)
        elapsed_s = time.monotonic() - asked_at
        assert members(driver.pid) == [], f"nothing is left after {elapsed_s:.1f} s"
        assert not scratch.exists()
        ended = store.job(job.id)
        assert (ended.state, ended.attempt, ended.crashes, ended.error) == (JobState.CANCELLED, 1, 0, None)
        after = record_ids(store, job)
        assert before <= after
        assert len(after) == n_recorded(store, job) < job.n_cells
        refuse_another_cancel(store, job)
        assert only.process.poll() is None, "the dispatcher goes on"
    assert record_ids(store, job) == after
