"""Training in fp16: the loss is scaled, what overflows is left out, and a run that overflows for good is diverged."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.batches import batches_of
from benchmark.choice import expected_execution
from benchmark.errors import SpecError
from benchmark.records import Outcome, Status
from benchmark.replay import initial_model
from benchmark.spec import Cell, expand
from benchmark.stepping import Stepping
from benchmark.tasks import Task, load_task
from benchmark.training import train
from optimizers import class_info, register_optimizer, registry
from tests.benchmark.toys import CPU, make_spec

FIRST_SCALE = 2.0**16  # of torch's GradScaler


def cell_in(precision: str, loss_scale: float, **changes: Any) -> Cell:
    """A cell whose updates do not depend on the scale of the loss, but for its perturbation."""
    tasks = [{"name": "digits-mlp", "params": {"hidden": 8, "loss_scale": loss_scale}}]
    kept = {
        "tasks": tasks,
        "budget": {"epochs": 4, "batch_size": 128, "precision": precision},
        "gd": False,
        "optimizers": [{"name": "sam", "fixed": {"rho": 0.05}}],
        "space": {"lr": {"values": [0.1 / loss_scale]}},
    }
    return next(expand(make_spec(**{**kept, **changes})))


def outcome_of(cell: Cell) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    return train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)


def stepping_of(cell: Cell) -> tuple[Stepping, list[Tensor], Iterator[tuple[Tensor, ...]]]:
    """What a step of a cell does, its parameters, and its batches."""
    task: Task = load_task(cell.setting.task, cell.setting.task_params)
    model = initial_model(task, cell.seed, CPU)
    stepping = Stepping(task, cell.setting, cell.hyperparameters, model, 100, CPU)
    return stepping, list(model.parameters()), batches_of(task.data(cell.seed, CPU).train, 128, cell.seed)


@pytest.mark.parametrize("loss_scale", [1.0, 2.0**-20])
@pytest.mark.parametrize("rule", ["gd", "sam", "msam", "gsam", "look_sam", "momentum_sam"])
def test_a_run_in_fp16_is_near_the_one_in_fp32_also_where_gradients_are_tiny(rule: str, loss_scale: float) -> None:
    optimizers = [{"name": rule, "fixed": {} if rule == "gd" else {"rho": 0.05}}]
    wide, narrow = (outcome_of(cell_in(precision, loss_scale, optimizers=optimizers)) for precision in ("fp32", "fp16"))
    assert narrow.status is Status.COMPLETED
    assert narrow.metrics["train_loss"] != wide.metrics["train_loss"]
    # LookSAM stretches the small difference of two gradients, which 16 bits know badly, to the length of one
    near = 0.1 if rule == "look_sam" else 5e-3
    assert narrow.metrics["train_loss"] == pytest.approx(wide.metrics["train_loss"], rel=near)
    assert narrow.curve["train_loss"] == pytest.approx(wide.curve["train_loss"], rel=near)
    assert narrow.diagnostics.grad_norm == pytest.approx(wide.diagnostics.grad_norm, rel=near)
    assert (narrow.diagnostics.mean_delta or 0) == pytest.approx(wide.diagnostics.mean_delta or 0, rel=near)
    assert narrow.cost.gradient_evaluations == wide.cost.gradient_evaluations


def test_without_a_scale_these_gradients_would_be_lost() -> None:
    stepping, parameters, batches = stepping_of(cell_in("fp16", 2.0**-20))
    stepping.load_state_dict({**stepping.state_dict(), "scale": 1.0})
    before = [p.detach().clone() for p in parameters]
    stepping.step(1, next(batches))
    assert all(map(torch.equal, parameters, before))


def test_a_step_that_overflows_is_skipped_and_counted() -> None:
    stepping, parameters, batches = stepping_of(cell_in("fp16", 2.0**12))
    scales, losses = [FIRST_SCALE], []
    while len(scales) < 3 or scales[-1] < scales[-2]:
        before = [p.detach().clone() for p in parameters]
        met = stepping.step(len(scales), next(batches))
        losses.append(met.loss)
        scales.append(stepping.state_dict()["scale"])
        is_skipped = scales[-1] < scales[-2]
        assert all(map(torch.equal, parameters, before)) is is_skipped
        assert bool(met.grad_norm.isnan() & met.delta_norm.isnan()) is is_skipped
        assert math.isfinite(met.loss)
    assert 1 <= scales[-1] < FIRST_SCALE
    assert stepping.optimizer.gradient_evaluations == 2 * len(losses)
    assert float(losses[0]) == pytest.approx(2.0**12 * math.log(10), rel=0.2)  # of the loss as it is meant


def test_a_run_goes_on_after_skipped_steps_and_tells_nothing_of_them_but_their_losses() -> None:
    wide, narrow = (outcome_of(cell_in(precision, 2.0**12)) for precision in ("fp32", "fp16"))
    assert narrow.status is Status.COMPLETED
    assert narrow.cost.gradient_evaluations == wide.cost.gradient_evaluations
    assert narrow.cost.steps == wide.cost.steps
    assert all(map(math.isfinite, narrow.curve["train_loss"]))
    assert narrow.metrics["train_loss"] > wide.metrics["train_loss"]  # of so many steps some were skipped
    assert narrow.diagnostics.mean_delta == pytest.approx(0.05, rel=1e-3)  # of every step that was taken


def test_a_run_that_overflows_at_every_scale_has_diverged() -> None:
    outcome = outcome_of(cell_in("fp16", 2.0**30, budget={"epochs": 5, "batch_size": 128, "precision": "fp16"}))
    assert outcome.status is Status.DIVERGED
    assert outcome.diverged_at_step == 1 + math.log2(FIRST_SCALE)  # the step that would halve a scale of 1
    assert outcome_of(cell_in("bf16", 2.0**30)).status is Status.COMPLETED


def test_a_stepping_goes_on_where_its_numbers_were_kept() -> None:
    stepping, _, batches = stepping_of(cell_in("fp16", 2.0**12))
    stepping.step(1, next(batches))
    state = stepping.state_dict()
    assert state["scale"] == FIRST_SCALE / 2
    assert {type(value) for value in state.values()} <= {int, float}
    other, _, _ = stepping_of(cell_in("fp16", 2.0**12))
    other.load_state_dict(state)
    assert other.state_dict() == state
    assert stepping_of(cell_in("fp32", 1.0))[0].state_dict() == {}


def test_cells_in_fp16_are_trained_one_after_another() -> None:
    setting = cell_in("fp16", 1.0).setting
    assert expected_execution("auto", setting, 1_000, None) == "sequential"
    assert expected_execution("auto", cell_in("bf16", 1.0).setting, 1_000, None) is None
    with pytest.raises(SpecError) as caught:
        make_spec(budget={"epochs": 1, "precision": "fp16"}, resources={"pack": "fused"})
    (problem,) = caught.value.problems
    assert problem.pointer == "/resources/pack"
    assert "task and budget must allow to train fused, but gd on digits-mlp cannot; use auto" in problem.detail


@pytest.mark.parametrize("own", [True, False])
def test_an_optimizer_that_takes_its_steps_itself_cannot_leave_one_out(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_sources", {})
    register_optimizer(class_info("own", torch.optim.SGD, title="Own"))
    narrow = {"epochs": 5, "precision": "fp16"}
    tasks = [{"name": "digits-mlp", **({"budget": narrow} if own else {})}]
    with pytest.raises(SpecError) as caught:
        make_spec(tasks=tasks, budget={"epochs": 5} if own else narrow, optimizers=[{"name": "own"}])
    (problem,) = caught.value.problems
    assert problem.pointer == ("/tasks/0/budget/precision" if own else "/budget/precision")
    assert problem.detail == (
        "fp16 needs an optimizer that leaves out a step whose gradient overflows, but own takes its steps itself; "
        "use bf16, or take own out."
    )
