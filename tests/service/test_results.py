"""What is read of a job by columns is what is read of it by records."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import Diagnostics, Outcome, Record, Spec
from benchmark.frame import columns_frame, results_frame
from benchmark.spec import Cell, expand
from benchmark.tables import spec_table
from service.results import job_frame, job_records, job_table
from service.store import PlacedRecord, Store, exporting
from service.stored_spec import spec_of
from tests.service.filling import (
    FINGERPRINT,
    LEASE_S,
    completed,
    curved,
    mixed,
    records_of,
    run_made_up,
    small_spec,
    submit,
)

OTHER_FINGERPRINT = "f" * 32
SEARCH = {
    "search": {"method": "tpe", "n_configurations": 4, "seed": 0},
    "optimizers": [{"name": "sam", "space": {"rho": {"log": [0.01, 1.0]}}}],
    "space": {"lr": {"log": [0.01, 0.1]}},
    "gd": False,
}
RANDOM = {**SEARCH, "search": {"method": "random", "n_configurations": 4, "seed": 0}}
TWO_TASKS = [{"name": "digits-mlp", "params": {"hidden": 8}}, {"name": "banana", "params": {"start": [-1.5, 0.5]}}]


def varied(cell: Cell) -> Outcome:
    """Return outcomes in which nearly every number differs, and some are not there."""
    if cell.task == "banana":
        outcome = replace(completed(cell), metrics={"train_loss": 0.1 * cell.seed, "loss": 1 / 3})
    else:
        outcome = mixed(cell)
    draw = np.random.default_rng(int(cell.key[:8], 16))
    norm, mean = draw.uniform(0, 9, 2).tolist()
    cost = replace(outcome.cost, elapsed_s=norm / 7, amortised=cell.seed == 0, steps=16 + cell.seed)
    diagnostics = Diagnostics(norm, None, mean if cell.optimizer == "sam" else None)
    return replace(outcome, cost=cost, diagnostics=diagnostics)


@pytest.mark.parametrize("n", [0, 1, 7, None], ids=["none", "one", "some", "all"])
@pytest.mark.parametrize(
    ("changes", "outcome_of"),
    [
        ({}, completed),
        ({}, mixed),
        ({"tasks": TWO_TASKS}, varied),
        ({"sharpness": ["sam"]}, curved),
        ({"base": {"name": "sgd", "momentum": 0.9, "nesterov": True}}, varied),
        ({"optimizers": [{"name": "sam", "base": {"name": "adam"}, "space": {"rho": {"values": [0.1]}}}]}, varied),
        (RANDOM, varied),
        ({"controls": ["radius_matched"]}, varied),
    ],
    ids=["completed", "mixed", "two tasks", "sharpness", "nesterov", "bases", "random", "controls"],
)
def test_the_frame_of_a_job_is_that_of_its_records(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    outcome_of: Callable[[Cell], Outcome],
    n: int | None,
) -> None:
    monkeypatch.setattr(exporting, "EXPORT_PAGE", 3)
    job = submit(store, small_spec(**changes))
    claimed = store.claim("a-dispatcher", LEASE_S, only=job.id)
    assert claimed is not None
    placed = [replace(one, record=with_radius(one.record)) for one in records_of(job, outcome_of)]
    store.register({one.record.setting: {} for one in placed}, {FINGERPRINT: {}, OTHER_FINGERPRINT: {}})
    store.write_records(job.id, claimed.attempt, placed[:n], LEASE_S)
    spec, records = spec_of(job), job_records(store, job.id)
    assert len(records) == len(placed[:n])
    found = job_frame(store, job.id)
    pd.testing.assert_frame_equal(found.frame, results_frame(spec, records), check_exact=True)
    assert found.made_by == {(record.setting, record.fingerprint) for record in records.values()}
    assert found.devices == {record.outcome.cost.device for record in records.values()}
    assert job_table(store, job.id).to_dict() == spec_table(spec, records).to_dict()


def with_radius(record: Record) -> Record:
    """Return every third record under another fingerprint, and that of a control with its radius."""
    number = int(record.config_key[:4], 16)
    if number % 3 == 0:
        record = replace(record, fingerprint=OTHER_FINGERPRINT)
    if number % 2 == 0 and "rho" in record.hyperparameters:
        record = replace(record, hyperparameters={**record.hyperparameters, "radius": number / 7})
    return record


def test_an_adaptive_search_has_the_cells_of_its_records(store: Store) -> None:
    job = submit(store, small_spec(**SEARCH))
    spec = spec_of(job)
    grid = spec.grids[0]
    claimed = store.claim("a-dispatcher", LEASE_S, only=job.id)
    assert claimed is not None
    store.register({grid.setting.key: {}}, {FINGERPRINT: {}})
    cells = [cell for lr in (0.02, 0.05) for cell in grid.cells_of(grid.configuration((lr, 0.1)), spec.seeds.values)]
    place = records_of(submit(store))[0].record.pack
    records = [
        Record(cell.key, FINGERPRINT, cell.setting.key, cell.hyperparameters, cell.seed, completed(cell), place)
        for cell in cells
    ]
    store.write_records(job.id, 1, [PlacedRecord(one, grid.task, grid.optimizer) for one in records], LEASE_S)
    found = job_frame(store, job.id)
    assert len(found.frame) == 4
    pd.testing.assert_frame_equal(found.frame, results_frame(spec, job_records(store, job.id)), check_exact=True)


def test_records_of_other_cells_are_left_out(store: Store) -> None:
    job = run_made_up(store, submit(store))
    smaller = Spec.from_mapping(small_spec(seeds={"count": 1}))
    columns = next(store.iter_columns(job.id))
    frame = columns_frame(smaller, columns)
    assert list(frame["config_key"]) == [cell.key for cell in expand(smaller)]
    assert (frame["status"] == "completed").all()
