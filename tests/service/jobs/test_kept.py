"""A long cell survives a pause and a killed driver: it goes on where it was, to the record that it would have had."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from benchmark.spec import Spec, expand
from benchmark.tasks import load_task, registry
from benchmark.training import train
from service.jobs.child import session_members
from service.states import JobState
from service.store import Store
from tests.service.filling import small_spec, submit
from tests.service.jobs import kept
from tests.service.jobs.hosts import JOB_S, host, wait_for_end
from tests.service.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
PAUSE_S = 20.0  # the cell takes longer than that


def test_it_goes_on_after_a_pause_and_after_a_killed_driver(
    store: Store, own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_sources", {})
    kept.register()
    notes, folder = tmp_path / "notes", tmp_path / "checkpoints"
    notes.touch()
    document = small_spec(
        tasks=[{"name": kept.KeptDigits.name, "params": {"hidden": 8, "notes": str(notes)}}],
        budget={"epochs": 30},
        gd=False,
        optimizers=[{"name": "sam", "space": {"rho": {"values": [0.1]}}}],
        space={"lr": {"values": [0.1]}},
        seeds={"count": 1},
    )
    job = submit(store, document)

    def n_gradients() -> int:
        return notes.stat().st_size

    def has_gone_on_from(n: int) -> bool:
        return bool(list(folder.glob("*.safetensors"))) and n_gradients() > n

    with host(own_database_url, tmp_path / "host", kept.MODULE, RHOBUST_CHECKPOINTS_DIR=str(folder)) as only:
        until(lambda: has_gone_on_from(300), "a checkpoint is written", JOB_S)
        until(lambda: store.job(job.id).in_flight is not None, "the job tells of its cell", 20)
        store.pause(job.id)
        until(lambda: store.job(job.id).state is JobState.PAUSED, "it is paused", PAUSE_S)
        n_paused = n_gradients()
        assert store.progress(job.id).n_linked == 0
        store.resume(job.id)
        until(lambda: has_gone_on_from(n_paused + 200), "it goes on", JOB_S)
        driver = only.started_driver()
        driver.kill()
        until(lambda: store.job(job.id).attempt == 3 or store.job(job.id).error is not None, "it is settled", 20)
        assert list(session_members(driver.pid)) == []
        ended = wait_for_end(store, job, only)
    assert (ended.state, ended.attempt, ended.crashes) == (JobState.COMPLETED, 3, 1)
    assert list(folder.iterdir()) == [], "the file went with the record"
    (stored,) = store.iter_records(job.id)
    found, n_trained = stored.record.outcome, n_gradients()
    assert n_trained < n_paused + found.cost.gradient_evaluations, "it did not begin anew"

    monkeypatch.setattr(kept, "LOSS_S", 0.0)
    n_before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a pack of one CPU
    (cell,) = expand(Spec.from_mapping(document))
    task = load_task(cell.setting.task, cell.setting.task_params)
    whole = train(task, cell.setting, cell.hyperparameters, cell.seed, device=torch.device("cpu"), limit_s=math.inf)
    torch.set_num_threads(n_before)
    assert dataclasses.replace(found, cost=whole.cost) == whole
    assert dataclasses.replace(found.cost, elapsed_s=whole.cost.elapsed_s) == whole.cost
