from typing import Any

import pytest
import torch

from benchmark.execution import (
    MAX_ERROR_LENGTH,
    Execution,
    cell_fingerprint,
    device_for,
    failed_record,
    train_cell,
    train_cells,
)
from benchmark.fused import train_together
from benchmark.records import PackPlace, Record, Status
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import register_task
from tests.benchmark.fused.fusible import Fusible, fusible_cells
from tests.benchmark.toys import CPU, first_cell, toy_document

PLACE = PackPlace("pack", 3, 1)


@pytest.fixture(scope="module", autouse=True)
def fusible_is_registered(toy_is_registered: None) -> None:
    register_task(Fusible)


def train_here(cells: list[Cell], execution: Execution) -> list[Record]:
    places = [PackPlace("pack", len(cells), position) for position in range(len(cells))]
    return train_cells(cells, places, device=CPU, limit_s=60, execution=execution)


def test_a_record_says_whose_it_is() -> None:
    cell = first_cell()
    record = train_cell(cell, PLACE, device=CPU, limit_s=60)
    assert (record.config_key, record.setting, record.seed) == (cell.key, cell.setting.key, cell.seed)
    assert record.fingerprint == cell_fingerprint(cell, CPU).key
    assert record.hyperparameters == cell.hyperparameters
    assert record.pack == PLACE
    assert record.outcome.status is Status.COMPLETED
    assert Record.from_dict(record.to_dict()) == record


def test_what_a_task_raises_is_in_the_record_of_its_cell() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"broken": {"fault": "raise", "call": 2}}))))
    outcome = train_cell(cell, PLACE, device=CPU, limit_s=60).outcome
    assert outcome.status is Status.FAILED
    assert outcome.error == r"ArithmeticError: the toy broke,\0 as asked"
    assert (outcome.metrics, outcome.curve, outcome.cost.steps) == ({}, {}, 0)


def test_data_that_is_missing_fails_a_cell_in_words() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"empty": {"fault": "no_data"}}))))
    record = train_cell(cell, PLACE, device=CPU, limit_s=60)
    assert record.outcome.status is Status.FAILED
    assert record.outcome.error == "TaskDataError: the toy has no data; run: make toy-data"
    assert cell_fingerprint(cell, CPU).data == "unavailable"
    assert record.fingerprint == cell_fingerprint(cell, CPU).key


def test_a_task_that_returns_other_metrics_than_it_declares_is_told_which() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"odd": {"fault": "scores"}}))))
    outcome = train_cell(cell, PLACE, device=CPU, limit_s=60).outcome
    assert outcome.error == "ValueError: evaluate of toy must return loss, but it returned loss, score."


def test_running_out_of_memory_is_the_pack_s_affair() -> None:
    cell = next(expand(Spec.from_mapping(toy_document({"big": {"fault": "memory", "call": 1}}))))
    with pytest.raises(MemoryError, match="the toy needs more"):
        train_cell(cell, PLACE, device=CPU, limit_s=60)


@pytest.mark.parametrize(
    ("error", "stored"),
    [("plain", "plain"), ("nul \0", "nul \\0"), ("half \ud800", "half \\ud800"), ("x" * 1000, "x" * MAX_ERROR_LENGTH)],
)
def test_an_error_can_always_be_stored(error: str, stored: str) -> None:
    assert failed_record(first_cell(), PLACE, CPU, error).outcome.error == stored


def test_a_pack_without_a_gpu_runs_on_the_cpu() -> None:
    assert device_for(use_gpu=False) == CPU
    assert device_for(use_gpu=True).type == (
        "cpu" if not torch.accelerator.is_available() else device_for(use_gpu=True).type
    )


@pytest.mark.parametrize("execution", ["fused", "sequential"])
def test_records_of_several_cells_are_those_of_each_in_their_order(execution: Execution) -> None:
    cells = fusible_cells({}, seeds={"count": 2, "base": 3})
    records = train_here(cells, execution)
    assert [record.config_key for record in records] == [cell.key for cell in cells]
    assert [(record.pack.size, record.pack.position) for record in records] == [(10, place) for place in range(10)]
    assert {record.fingerprint for record in records} == {cell_fingerprint(cells[0], CPU, execution).key}
    assert {record.outcome.cost.execution for record in records} == {execution}
    assert {record.outcome.cost.amortised for record in records} == {execution == "fused"}
    assert {record.outcome.status for record in records} == {Status.COMPLETED}
    assert all(Record.from_dict(record.to_dict()) == record for record in records)


def test_how_cells_are_trained_is_part_of_their_fingerprint() -> None:
    cell = first_cell()
    assert cell_fingerprint(cell, CPU) == cell_fingerprint(cell, CPU, "sequential")
    assert cell_fingerprint(cell, CPU, "fused").execution == "fused"
    assert cell_fingerprint(cell, CPU, "fused").key != cell_fingerprint(cell, CPU).key


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 5, 9])
@pytest.mark.parametrize("execution", ["fused", "sequential"])
def test_a_cell_that_raises_takes_no_other_with_it(execution: Execution, seed: int) -> None:
    changes = {"seeds": {"count": 7, "base": 3}, "space": {"lr": {"values": [0.01]}}}
    cells = fusible_cells({"fault": "raise", "seed": seed}, **changes)
    records = train_here(cells, execution)
    assert [record.config_key for record in records] == [cell.key for cell in cells]
    failed = [record for record in records if record.outcome.status is not Status.COMPLETED]
    assert [record.seed for record in failed] == [seed]
    assert failed[0].outcome.status is Status.FAILED
    assert failed[0].outcome.error == "ArithmeticError: the task broke, as asked"
    assert failed[0].outcome.cost.execution == execution
    assert {record.fingerprint for record in records} == {cell_fingerprint(cells[0], CPU, execution).key}


@pytest.mark.slow
def test_one_cell_that_raises_is_found_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counting(task: Any, setting: Any, runs: Any, **rest: Any) -> Any:
        sizes.append(len(runs))
        return train_together(task, setting, runs, **rest)

    monkeypatch.setattr("benchmark.execution.train_together", counting)
    changes = {"seeds": {"count": 8, "base": 3}, "space": {"lr": {"values": [0.01]}}}
    train_here(fusible_cells({"fault": "raise", "seed": 5}, **changes), "fused")
    assert sizes == [8, 4, 2, 2, 1, 1, 4]


@pytest.mark.parametrize("execution", ["fused", "sequential"])
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [("memory", MemoryError, "the task needs more"), ("allocation", RuntimeError, "can't allocate memory")],
)
def test_running_out_of_memory_ends_a_pack(
    execution: Execution, fault: str, error: type[Exception], words: str
) -> None:
    cells = fusible_cells({"fault": fault, "seed": 4}, seeds={"count": 2, "base": 3})
    with pytest.raises(error, match=words):
        train_here(cells, execution)


def test_data_that_is_missing_fails_every_cell_of_a_pack() -> None:
    cells = list(expand(Spec.from_mapping(toy_document({"empty": {"fault": "no_data"}}, seeds={"count": 3}))))
    records = train_here(cells, "fused")
    assert {record.outcome.error for record in records} == {"TaskDataError: the toy has no data; run: make toy-data"}
    assert {record.fingerprint for record in records} == {cell_fingerprint(cells[0], CPU, "fused").key}
