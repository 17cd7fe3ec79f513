"""Controls in a job: what is planned when, whatever happened between the waves."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmark import PackPlace, Spec, Status
from benchmark.execution import cell_fingerprint, train_cell
from benchmark.spec import Cell, expand
from service.jobs import Dispatcher
from service.jobs.sink import RecordSink
from service.jobs.waves import Waves
from service.results import job_results, job_table
from service.settings import Settings
from service.states import JobState
from service.store import Job, PlacedRecord, Store
from tests.service.filling import LEASE_S, failed, records_of, small_spec, submit, timed_out

CPU = torch.device("cpu")
CONTROL = "msam-radius-matched"
JOB_S = 120.0
SPEC = small_spec(controls=["radius_matched"], gd=False, optimizers=small_spec()["optimizers"][2:])
N_CELLS = 16


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store that other processes may use as well."""
    with Store.open(database_url) as opened:
        yield opened


def cells_of(job: Job, optimizer: str) -> list[Cell]:
    return [cell for cell in expand(Spec.from_mapping(job.spec)) if cell.optimizer == optimizer]


def claimed(store: Store, document: dict[str, Any]) -> Job:
    job = submit(store, document)
    found = store.claim("somebody", LEASE_S, only=job.id)
    assert found is not None
    return found


def write_trained(store: Store, job: Job, cells: list[Cell]) -> None:
    """Train cells here and write their records as the owner of the job."""
    made_by = {made.key: made.to_dict() for made in (cell_fingerprint(cell, CPU) for cell in cells)}
    store.register({cell.setting.key: cell.setting.to_dict() for cell in expand(Spec.from_mapping(job.spec))}, made_by)
    records = [
        PlacedRecord(train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60), cell.task, cell.optimizer)
        for cell in cells
    ]
    store.write_records(job.id, job.attempt, records, LEASE_S)


def waves_of(store: Store, job: Job, missing: list[Cell]) -> Waves:
    settings = {cell.setting.key: cell for cell in expand(Spec.from_mapping(job.spec))}
    labels = {cell.key: (cell.task, cell.optimizer) for cell in missing}
    return Waves(
        store,
        job.id,
        job.attempt,
        lease_s=LEASE_S,
        missing=missing,
        made_by={key: cell_fingerprint(cell, CPU).key for key, cell in settings.items()},
        needs_metrics=(),
        sink=RecordSink(
            store,
            job.id,
            job.attempt,
            lease_s=LEASE_S,
            labels=labels,
            on_request=lambda: None,
            lost_lease_code=1,
        ),
        device=CPU,
        executions=dict.fromkeys(settings, "sequential"),
    )


def test_controls_wait_for_their_partners_and_no_longer(store: Store) -> None:
    job = claimed(store, SPEC)
    partners, controls = cells_of(job, "msam"), cells_of(job, CONTROL)
    write_trained(store, job, partners[:3])
    waves = waves_of(store, job, partners[3:] + controls)
    first = waves.first()
    assert first[:5] == partners[3:]
    assert [cell.key for cell in first[5:]] == [cell.key for cell in controls[:3]]
    assert all(cell.radius is not None for cell in first[5:])
    write_trained(store, job, partners[3:])
    assert [cell.key for cell in waves.second()] == [cell.key for cell in controls[3:]]
    assert waves.second() == []


def test_what_a_retry_trains_again_gives_no_radius_yet(store: Store) -> None:
    """Its old record would make its control fail before its partner has had another chance."""
    job = claimed(store, SPEC)
    partners, controls = cells_of(job, "msam"), cells_of(job, CONTROL)
    write_trained(store, job, partners[:2])
    bad = [item for item in records_of(job, failed) if item.record.config_key in {cell.key for cell in partners[2:4]}]
    bad += [item for item in records_of(job, timed_out) if item.record.config_key == partners[4].key]
    store.register({}, {bad[0].record.fingerprint: {"torch": "2.13.0"}})
    store.write_records(job.id, job.attempt, bad, LEASE_S)
    retried = waves_of(store, job, partners[2:] + controls)
    assert [cell.key for cell in retried.first()] == [cell.key for cell in partners[2:] + controls[:2]]
    assert store.progress(job.id).n_linked == 5

    left_alone = waves_of(store, job, partners[5:] + controls)
    assert [cell.key for cell in left_alone.first()] == [cell.key for cell in partners[5:] + controls[:2]]
    progress = store.progress(job.id)
    assert (progress.failed, progress.timed_out) == (4, 2)
    records = job_results(store, job.id).records
    for cell, status in zip(controls[2:5], (Status.FAILED, Status.FAILED, Status.TIMED_OUT), strict=True):
        assert records[cell.key].outcome.status is status
        assert "the M-SAM cell whose radius this control takes" in (records[cell.key].outcome.error or "")


def run_here(store: Store, settings: Settings, job: Job) -> Job:
    """Run a job with a real driver and Ray, here, to its end."""
    dispatcher = Dispatcher(store, settings, only=job.id, n_cpus=2)
    timer = threading.Timer(JOB_S, dispatcher.stop)
    timer.start()
    try:
        dispatcher.run()
    finally:
        timer.cancel()
    return store.job(job.id)


def radii_are_their_partners(store: Store, job: Job) -> bool:
    results = job_results(store, job.id)
    for cell in cells_of(job, CONTROL):
        mean = results.records[cell.partner or ""].outcome.diagnostics.mean_delta
        assert results.records[cell.key].hyperparameters["radius"] == pytest.approx(mean, rel=1e-11)
    return True


@pytest.mark.slow
@pytest.mark.long
def test_a_driver_that_died_between_the_waves_loses_nothing(store: Store, settings: Settings) -> None:
    """The next attempt plans the second wave from the records; a further job then takes over all of them."""
    job = claimed(store, SPEC)
    write_trained(store, job, cells_of(job, "msam"))
    store.release(job.id, job.attempt, crashed=True)
    ended = run_here(store, settings, job)
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 2, 1)
    progress = store.progress(job.id)
    assert (progress.total, progress.completed, progress.reused) == (N_CELLS, N_CELLS, 0)
    assert {stored.optimizer: stored.attempt for stored in store.iter_records(job.id)} == {"msam": 1, CONTROL: 2}
    assert radii_are_their_partners(store, job)
    table = job_table(store, job.id)
    assert table.complete
    assert not table.mixed
    assert {row.optimizer: row.ranked for row in table.rows} == {"msam": True, CONTROL: True}

    again = run_here(store, settings, submit(store, {**SPEC, "name": "again"}))
    assert (again.state, store.progress(again.id).reused) == (JobState.COMPLETED, N_CELLS)
    log = settings.log_path(again.id).read_text()
    assert f"0 of {N_CELLS} cells are to be trained" in log


@pytest.mark.slow
@pytest.mark.long
def test_controls_of_what_timed_out_come_with_the_retry(store: Store, settings: Settings) -> None:
    job = run_here(store, settings, submit(store, {**SPEC, "limits": {"cell_s": 1e-9}}))
    assert job.state is JobState.COMPLETED
    assert store.progress(job.id).timed_out == N_CELLS
    store.retry(job.id, {"cell_s": 3600.0})
    job = run_here(store, settings, job)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    assert store.progress(job.id).completed == N_CELLS
    assert radii_are_their_partners(store, job)


@pytest.mark.slow
@pytest.mark.long
def test_controls_are_added_and_extended(store: Store, settings: Settings) -> None:
    job = run_here(store, settings, submit(store, {**SPEC, "controls": []}))
    larger = Spec.from_mapping({**SPEC, "seeds": {"count": 3}, "resources": {"pack": "fused"}})
    before = {stored.record.id for stored in store.iter_records(job.id)}
    job = store.extend(job.id, larger.to_dict(), larger.n_cells)
    job = run_here(store, settings, job)
    assert job.state is JobState.COMPLETED
    assert store.progress(job.id).completed == larger.n_cells == 24
    assert before < {stored.record.id for stored in store.iter_records(job.id)}
    assert radii_are_their_partners(store, job)
