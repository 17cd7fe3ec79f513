"""The choice between training cells at once and one after another."""

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark import BenchmarkError, FusionError, cell_costs, choice, fused
from benchmark.choice import (
    MIN_CELLS,
    N_FUSED,
    N_STEPS,
    N_TIMES,
    PROBE_S,
    StepTiming,
    choose_execution,
    device_name,
    expected_execution,
    probe,
    probed_s,
    timing_key,
)
from benchmark.execution import Execution
from benchmark.packs import Footprint
from benchmark.spec import Cell, Spec, expand
from benchmark.spec.models import Budget
from benchmark.tasks import load_task, register_task
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
    monkeypatch.setattr(cell_costs, "step_s", of_sequential)
    return asked


def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have any timing fail the test."""
    for module in (fused, cell_costs):
        monkeypatch.setattr(module, "step_s", lambda *given, **named: pytest.fail("nothing is to be timed"))


@pytest.mark.parametrize("pack", ["fused", "sequential"])
@pytest.mark.parametrize("n_cells", [2, 100])
def test_what_the_spec_says_is_done(monkeypatch: pytest.MonkeyPatch, pack: str, n_cells: int) -> None:
    """Even where the other way is faster."""
    measured(monkeypatch, fused_s=1.0, sequential_s=2.0 if pack == "sequential" else 0.5)
    assert chosen(spec_of(n_cells, pack)) == [pack]


def test_nothing_is_measured_of_what_is_trained_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch)
    monkeypatch.setattr(fused, "cell_bytes", lambda *given, **named: pytest.fail("nothing is to be measured"))
    assert chosen(spec_of(100, "sequential")) == ["sequential"]


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
    asked = measured(monkeypatch, fused_s=1e-3, sequential_s=2e-3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chosen(spec_of(n_cells))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    *singly, (one, runs, threads) = asked
    assert (one, threads) == ("fused", 1)
    assert len(runs) == min(n_cells, N_FUSED)
    rates = [cell.hyperparameters["lr"] for cell in expand(spec_of(n_cells))]
    places = [rates.index(run.hyperparameters["lr"]) for run in runs]
    assert places == sorted(set(places))
    assert places[-1] >= n_cells // 2
    assert singly == N_TIMES * [("sequential", list(runs[:1]), 1)]


def test_each_setting_is_measured_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "step_s", lambda task, setting, runs, **rest: 1.0 if setting.rule == "sam" else 3.0)
    monkeypatch.setattr(cell_costs, "step_s", lambda *given, **named: 2.0)
    labels = [{"name": "sam"}, {"name": "sam", "label": "sam-warm", "fixed": {"rho_warmup": 0.5}}, {"name": "msam"}]
    spec = make_spec(optimizers=labels, space={"lr": {"log": [0.01, 1], "n": 8}}, gd=True, seeds={"count": 2})
    found = choose_execution(spec, expand(spec), CPU).executions
    by_rule = {cell.setting.rule: found[cell.setting.key] for cell in expand(spec)}
    assert by_rule == {"gd": "sequential", "sam": "fused", "msam": "sequential"}
    assert len(found) == 3


def test_what_was_chosen_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the other way is faster now."""
    for before in ("fused", "sequential"):
        measured(monkeypatch, fused_s=2.0 if before == "fused" else 0.5, sequential_s=1.0)
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
        ({"fault": "memory", "seed": 3}, "MemoryError: the task needs more"),
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
    assert first.timings == {timing_key(setting, device_name(CPU)): StepTiming(1.0, 2.0)}
    refused(monkeypatch)
    again = choose_execution(spec, expand(spec), CPU, timings=first.timings)
    assert (again.executions, again.timings) == (first.executions, {})
    assert again.footprints == first.footprints
    slower = {key: StepTiming(3.0, 2.0) for key in first.timings}
    assert choose_execution(spec, expand(spec), CPU, timings=slower).executions == {setting.key: "sequential"}


def test_a_timing_belongs_to_what_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [next(expand(spec)).setting for spec in (spec_of(4), spec_of(9), spec_of(4, n_train=48))]
    first, other_grid, other_params = (timing_key(setting, device_name(CPU)) for setting in settings)
    assert first == other_grid != other_params
    longer = replace(settings[0], budget=Budget(epochs=99, batch_size=settings[0].budget.batch_size))
    assert timing_key(longer, device_name(CPU)) == first
    wider = replace(settings[0], budget=Budget(epochs=99, batch_size=settings[0].budget.batch_size + 1))
    assert timing_key(wider, device_name(CPU)) != first


@pytest.mark.parametrize("pack", ["auto", "fused"])
def test_a_footprint_is_of_the_longest_run(monkeypatch: pytest.MonkeyPatch, pack: str) -> None:
    """A step of LookSAM of k = 5 is cheaper, so that a budget in gradient evaluations pays more of them."""
    measured(monkeypatch, fused_s=1.0, sequential_s=2.0)
    swept = [{"name": "look_sam", "label": "own", "space": {"k": {"values": [1, 2, 5]}}}]
    budget = {"gradient_evaluations": 19, "batch_size": 5}
    space = {"lr": {"log": [1e-3, 1e-2], "n": MIN_CELLS}}
    resources = {"pack": pack}
    spec = fusible_spec({}, optimizers=swept, gd=False, budget=budget, space=space, resources=resources)
    (footprint,) = choose_execution(spec, expand(spec), CPU).footprints.values()
    assert footprint.elapsed_s == 15.0
    assert footprint.n_bytes > 3 * 17 * 4  # parameters, momentum, gradient


def test_what_was_chosen_before_has_a_footprint_whether_its_timing_is_known_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured(monkeypatch, fused_s=1.0, sequential_s=2.0)
    spec = spec_of(3)
    (setting,) = {cell.setting.key: cell.setting for cell in expand(spec)}.values()
    known: dict[str, Execution] = {setting.key: "fused"}
    fresh = choose_execution(spec, expand(spec), CPU, known=known)
    assert fresh.timings == {timing_key(setting, device_name(CPU)): StepTiming(1.0, 2.0)}
    assert fresh.footprints[setting.key].elapsed_s == 4.0  # 2 epochs of 2 steps
    told = {timing_key(setting, device_name(CPU)): StepTiming(30.0, 2.0)}
    refused(monkeypatch)
    again = choose_execution(spec, expand(spec), CPU, known=known, timings=told)
    assert again.footprints[setting.key] == Footprint(120.0, fresh.footprints[setting.key].n_bytes)


def test_fewer_cells_are_timed_where_memory_or_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(monkeypatch, fused_s=1e-3, sequential_s=2e-3)
    n_bytes = 1_000_000
    monkeypatch.setattr(fused, "cell_bytes", lambda *given, **named: n_bytes)
    for free, n in ((7 * n_bytes, 3), (n_bytes, 1), (10**12, N_FUSED)):
        monkeypatch.setattr(choice, "free_bytes", lambda device, free=free: free)
        chosen(spec_of(100))
        assert len(asked[-1][1]) == n
    for sequential_s, n in ((PROBE_S / (2 * N_STEPS + 1) / 4.5, 4), (1e6, 1), (0.0, N_FUSED)):
        asked = measured(monkeypatch, fused_s=1e-3, sequential_s=sequential_s)
        chosen(spec_of(100))
        assert len(asked[-1][1]) == n


def test_fewer_cells_are_timed_where_the_memory_of_many_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def of_fused(task: Any, setting: Any, runs: Any, **rest: Any) -> float:
        sizes.append(len(runs))
        if len(runs) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory, or so")
        return 1e-3

    measured(monkeypatch, fused_s=0.0, sequential_s=2e-3)
    monkeypatch.setattr(fused, "step_s", of_fused)
    limit = 4
    assert chosen(spec_of(100)) == ["fused"]
    assert sizes == [32, 16, 8, 4]
    limit = 0
    assert chosen(spec_of(100)) == ["sequential"]
    with pytest.raises(FusionError, match="but got OutOfMemoryError"):
        chosen(spec_of(100, "fused"))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dropout", "RuntimeError: vmap: called random operation"),
        ("branch_in_score", "data-dependent control flow"),
        ("frozen", "have none for line.bias"),
        ("buffer_of_seed", "must have the same buffers under every seed"),
    ],
)
def test_a_task_that_is_wrong_about_itself_is_one_clear_error_where_it_is_to_be_fused(
    known: bool, kind: str, message: str
) -> None:
    spec = fusible_spec({"kind": kind}, seeds={"count": 2, "base": 3}, resources={"pack": "auto" if known else "fused"})
    before: dict[str, Execution] = {cell.setting.key: "fused" for cell in expand(spec)} if known else {}
    with pytest.raises(FusionError, match="must be one that can be trained fused, but got") as caught:
        choose_execution(spec, expand(spec), CPU, known=before)
    assert message in str(caught.value)
    assert str(caught.value).startswith("fusible with gd")
    assert str(caught.value).endswith(". Say pack: auto, or let the task's can_fuse be False.")
    assert isinstance(caught.value, BenchmarkError)


@pytest.mark.parametrize("seed", [3, 4])
def test_where_some_cells_are_broken_the_others_are_still_trained_together(seed: int) -> None:
    spec = fusible_spec({"fault": "raise", "seed": seed}, seeds={"count": 2, "base": 3}, resources={"pack": "fused"})
    found = choose_execution(spec, expand(spec), CPU)
    assert list(found.executions.values()) == ["fused"]
    assert found.footprints == {}


def test_a_real_measurement_sees_that_many_small_cells_are_faster_together() -> None:
    """By a factor of about ten, so that a busy machine changes nothing."""
    cells: list[Cell] = list(expand(spec_of(N_FUSED)))
    setting = cells[0].setting
    timing = choice._timed(load_task(setting.task, setting.task_params), cells, CPU, 1)
    assert timing.fused_s is not None
    assert 0 < timing.fused_s < timing.sequential_s / 2
    assert chosen(spec_of(N_FUSED)) == ["fused"]


def test_a_probe_trains_a_cell_of_each_setting_alone_unless_it_is_known() -> None:
    optimizers = [{"name": "sam", "fixed": {"rho": 0.5}}, {"name": "msam", "fixed": {"rho": 0.5}}]
    spec = make_spec(optimizers=optimizers, gd=False)
    sam, msam = (grid.setting for grid in spec.grids)
    name = device_name(CPU)
    known = {timing_key(sam, name): StepTiming(None, 7.0)}
    found = probe(expand(spec), CPU, known)
    assert list(found) == [timing_key(msam, name)]
    assert probed_s([sam, msam], name, known | found) == {sam.key: 7.0, msam.key: pytest.approx(0.05, abs=0.05)}
    assert probed_s([sam], "another device", known) == {}
    assert next(iter(found.values())).fused_s is None


def test_what_cannot_be_trained_is_not_probed() -> None:
    spec = Spec.from_mapping(toy_document({"bad": {"fault": "raise", "call": 2}, "good": {}}))
    assert set(probed_s([grid.setting for grid in spec.grids], device_name(CPU), probe(expand(spec), CPU))) == {
        grid.setting.key for grid in spec.grids if grid.task == "good"
    }


def test_a_probe_does_not_decide_that_cells_cannot_be_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, fused_s=1.0, sequential_s=2.0)
    spec = make_spec(optimizers=[{"name": "sam", "fixed": {"rho": 0.5}}], gd=False, seeds={"count": 40})
    cells, setting = list(expand(spec)), spec.grids[0].setting
    probed = {timing_key(setting, device_name(CPU)): StepTiming(None, 2.0)}
    assert expected_execution("auto", setting, len(cells), next(iter(probed.values()))) is None
    assert choose_execution(spec, cells, CPU, timings=probed).executions == {setting.key: "fused"}
