"""The choice between training cells at once and one after another."""

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark import choice, fused, training
from benchmark.choice import MIN_CELLS, N_FUSED, StepTiming, choose_execution, timing_key
from benchmark.execution import Execution
from benchmark.spec import Cell, Spec, expand
from benchmark.spec.models import Budget
from benchmark.tasks import register_task
from tests.benchmark.fused.fusible import Fusible, fusible_spec
from tests.benchmark.toys import CPU, make_spec, toy_document


@pytest.fixture(scope="module", autouse=True)
def fusible_is_registered(toy_is_registered: None) -> None:
    register_task(Fusible)


def spec_of(n_cells: int, pack: str | int = "auto", **params: Any) -> Spec:
    """A spec of one setting."""
    space = {"lr": {"log": [1e-3, 1e-2], "n": n_cells}}
    return fusible_spec(params, space=space, resources={"pack": pack})


def chosen(spec: Spec, **given: Any) -> list[str]:
    """What is chosen for each setting, in their order."""
    cells = list(expand(spec))
    found = choose_execution(spec, cells, CPU, **given).executions
    assert list(found) == list(dict.fromkeys(cell.setting.key for cell in cells))
    return list(found.values())


def measured(monkeypatch: pytest.MonkeyPatch, *, fused_s: float, sequential_s: float) -> list[tuple[str, Any, int]]:
    """Have the two measurements give these seconds; return what they were asked for, and on how many threads."""
    asked: list[tuple[str, Any, int]] = []

    def of_fused(task: Any, setting: Any, runs: Any, **rest: Any) -> float:
        asked.append(("fused", runs, torch.get_num_threads()))
        return fused_s

    def of_sequential(task: Any, setting: Any, hyperparameters: Any, seed: int, **rest: Any) -> float:
        asked.append(("sequential", [fused.Run(hyperparameters, seed)], torch.get_num_threads()))
        return sequential_s

    monkeypatch.setattr(fused, "step_s", of_fused)
    monkeypatch.setattr(training, "step_s", of_sequential)
    return asked


def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have any measurement fail the test."""
    for module in (fused, training):
        monkeypatch.setattr(module, "step_s", lambda *given, **named: pytest.fail("nothing is to be measured"))


@pytest.mark.parametrize("pack", ["fused", "sequential"])
@pytest.mark.parametrize("n_cells", [2, 100])
def test_what_the_spec_says_is_done(monkeypatch: pytest.MonkeyPatch, pack: str, n_cells: int) -> None:
    refused(monkeypatch)
    assert chosen(spec_of(n_cells, pack)) == [pack]


def test_few_cells_are_trained_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch)
    assert chosen(spec_of(MIN_CELLS - 1)) == ["sequential"]


@pytest.mark.parametrize("pack", ["auto", 3])
@pytest.mark.parametrize(
    ("fused_s", "sequential_s", "expected"),
    [(1.0, 2.0, "fused"), (2.0, 1.0, "sequential"), (1.0, 1.0, "sequential"), (math.nan, 1.0, "sequential")],
)
def test_the_faster_way_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pack: str | int,
    fused_s: float,
    sequential_s: float,
    expected: str,
) -> None:
    measured(monkeypatch, fused_s=fused_s, sequential_s=sequential_s)
    with caplog.at_level(logging.INFO, logger="rhobust"):
        assert chosen(spec_of(MIN_CELLS, pack)) == [expected]
    (message,) = caplog.messages
    assert message.startswith("fusible with gd: a step of a cell takes")
    assert message.endswith(expected)


@pytest.mark.parametrize("n_cells", [MIN_CELLS, N_FUSED, N_FUSED + 5, 10 * N_FUSED + 7])
def test_cells_from_the_whole_grid_are_timed_on_one_thread(monkeypatch: pytest.MonkeyPatch, n_cells: int) -> None:
    asked = measured(monkeypatch, fused_s=1.0, sequential_s=2.0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chosen(spec_of(n_cells))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    (one, runs, threads), (other, alone, threads_alone) = asked
    assert (one, other, threads, threads_alone) == ("fused", "sequential", 1, 1)
    assert len(runs) == min(n_cells, N_FUSED)
    rates = [cell.hyperparameters["lr"] for cell in expand(spec_of(n_cells))]
    places = [rates.index(run.hyperparameters["lr"]) for run in runs]
    assert places == sorted(set(places))
    assert places[-1] >= n_cells // 2
    assert alone == runs[:1]


def test_each_setting_is_measured_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "step_s", lambda task, setting, runs, **rest: 1.0 if setting.rule == "sam" else 3.0)
    monkeypatch.setattr(training, "step_s", lambda *given, **named: 2.0)
    labels = [{"name": "sam"}, {"name": "sam", "label": "sam-warm", "fixed": {"rho_warmup": 0.5}}, {"name": "msam"}]
    spec = make_spec(optimizers=labels, space={"lr": {"log": [0.01, 1], "n": 8}}, gd=True, seeds={"count": 2})
    found = choose_execution(spec, expand(spec), CPU).executions
    by_rule = {cell.setting.rule: found[cell.setting.key] for cell in expand(spec)}
    assert by_rule == {"gd": "sequential", "sam": "fused", "msam": "sequential"}
    assert len(found) == 3


def test_what_was_chosen_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch)
    for before in ("fused", "sequential"):
        execution: Execution = "fused" if before == "fused" else "sequential"
        spec = spec_of(100)
        (key,) = {cell.setting.key for cell in expand(spec)}
        known = {key: execution, "another job's": execution}
        assert choose_execution(spec, expand(spec), CPU, known=known).executions == known
        assert choose_execution(spec, [], CPU, known=known).executions == known
        assert choose_execution(spec_of(100, "sequential"), expand(spec), CPU, known=known).executions[key] == before
    assert choose_execution(spec_of(3), [], CPU).executions == {}


def test_what_cannot_be_trained_together_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch)
    spec = Spec.from_mapping(toy_document({"toy": {}}, seeds={"count": 40}))
    assert chosen(spec) == ["sequential"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "dropout"}, "RuntimeError: vmap: called random operation"),
        ({"kind": "batch_norm"}, "RuntimeError: "),
        ({"kind": "branch"}, "data-dependent control flow"),
        ({"kind": "branch_in_score"}, "data-dependent control flow"),
        ({"kind": "frozen"}, "ValueError: every parameter of models that are trained together"),
        ({"kind": "buffer_assigned"}, "ValueError: models that are trained together must leave their buffers alone"),
        ({"kind": "buffer_of_seed"}, "ValueError: models that are trained together must have the same buffers"),
        ({"fault": "raise", "seed": 4}, "ArithmeticError: the task broke, as asked"),
        ({"fault": "memory", "seed": 4}, "MemoryError: the task needs more"),
    ],
    ids=str,
)
def test_a_task_that_is_wrong_about_itself_is_trained_one_after_another(
    caplog: pytest.LogCaptureFixture, params: dict[str, Any], message: str
) -> None:
    changes: dict[str, Any] = {"seeds": {"count": 2, "base": 3}, "space": {"lr": {"log": [1e-3, 1e-2], "n": MIN_CELLS}}}
    before = torch.get_num_threads()
    with caplog.at_level(logging.WARNING, logger="rhobust"):
        assert chosen(fusible_spec(params, **changes)) == ["sequential"]
    (said,) = caplog.messages
    assert said.startswith("fusible is trained one cell after another: ")
    assert message in said
    assert torch.get_num_threads() == before


def test_what_was_measured_is_told_and_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(MIN_CELLS)
    measured(monkeypatch, fused_s=1.0, sequential_s=2.0)
    first = choose_execution(spec, expand(spec), CPU)
    (setting,) = {cell.setting.key: cell.setting for cell in expand(spec)}.values()
    assert first.timings == {timing_key(setting, CPU): StepTiming(1.0, 2.0)}
    refused(monkeypatch)
    again = choose_execution(spec, expand(spec), CPU, timings=first.timings)
    assert (again.executions, again.timings) == (first.executions, {})
    slower = {key: StepTiming(3.0, 2.0) for key in first.timings}
    assert choose_execution(spec, expand(spec), CPU, timings=slower).executions == {setting.key: "sequential"}


def test_a_timing_belongs_to_what_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [next(expand(spec)).setting for spec in (spec_of(4), spec_of(9), spec_of(4, n_train=48))]
    first, other_grid, other_params = (timing_key(setting, CPU) for setting in settings)
    assert first == other_grid != other_params
    longer = replace(settings[0], budget=Budget(epochs=99, batch_size=settings[0].budget.batch_size))
    assert timing_key(longer, CPU) == first
    wider = replace(settings[0], budget=Budget(epochs=99, batch_size=settings[0].budget.batch_size + 1))
    assert timing_key(wider, CPU) != first


def test_a_real_measurement_sees_that_many_small_cells_are_faster_together() -> None:
    """By a factor of about ten, so that a busy machine changes nothing."""
    cells: list[Cell] = list(expand(spec_of(N_FUSED)))
    timing = choice._timed(cells, CPU)
    assert timing.fused_s is not None
    assert 0 < timing.fused_s < timing.sequential_s / 2
    assert chosen(spec_of(N_FUSED)) == ["fused"]
