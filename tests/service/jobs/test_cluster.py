"""A job on a cluster of several Ray nodes, with PostgreSQL: a node dies, another comes, and each cell is there once."""

from pathlib import Path

import pytest

from benchmark.spec import expand
from service.states import JobState
from service.store import Store
from service.stored_spec import spec_of
from tests.clusters import cluster
from tests.service.filling import submit
from tests.service.jobs import counted
from tests.service.jobs.counted import counted_spec, gate, sessions, trainings
from tests.service.jobs.hosts import JOB_S, host, n_recorded, wait_for_end
from tests.service.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
PACK_CELLS = 3


@pytest.mark.usefixtures("counted_task")
@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_job_outlives_a_node_and_uses_one_that_comes(store: Store, own_database_url: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    gate(notes).touch()
    spec = counted_spec(notes, seeds={"count": 6}, budget={"epochs": 15}, resources={"pack": PACK_CELLS})
    job = submit(store, spec)
    with cluster() as ray:
        nodes = [ray.add(n_gpus=1), ray.add(n_gpus=1)]
        with host(own_database_url, tmp_path / "host", counted.MODULE, **ray.environment) as only:
            until(lambda: set(sessions(notes)) == {node.session for node in nodes}, "both nodes begin to train", JOB_S)
            gate(notes).unlink()
            until(lambda: n_recorded(store, job) > 0, "the first records", JOB_S)
            gate(notes).touch()
            assert n_recorded(store, job) < job.n_cells - 4 * PACK_CELLS
            driver = only.started_driver()
            assert driver.pid not in trainings(notes), "what is measured is measured where it is trained"
            nodes[0].kill()
            nodes.append(ray.add(n_gpus=1))
            until(lambda: nodes[2].session in sessions(notes), "the new node begins to train", JOB_S)
            gate(notes).unlink()
            ended = wait_for_end(store, job, only)
    assert (ended.state, ended.attempt, ended.crashes, ended.error) == (JobState.COMPLETED, 1, 0, None)
    records = [stored.record for stored in store.iter_records(job.id, curves=False)]
    assert sorted(record.config_key for record in records) == sorted(cell.key for cell in expand(spec_of(job)))
    assert len({record.fingerprint for record in records}) == 1
    # all that was trained twice is what was in flight on the node that died
    assert job.n_cells <= len(sessions(notes)) <= job.n_cells + PACK_CELLS
