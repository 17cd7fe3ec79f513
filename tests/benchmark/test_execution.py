import pytest
import torch

from benchmark.execution import MAX_ERROR_LENGTH, cell_fingerprint, device_for, failed_record, train_cell
from benchmark.records import PackPlace, Record, Status
from benchmark.spec import Spec, expand
from tests.benchmark.toys import CPU, first_cell, toy_document

PLACE = PackPlace("pack", 3, 1)


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
