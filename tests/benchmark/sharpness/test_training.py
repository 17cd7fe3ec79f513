"""Sharpness in records: measured by both ways of training, after the run and without a trace on it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.func import functional_call

from benchmark.cell_costs import cell_bytes
from benchmark.fused import Run, train_together, training
from benchmark.records import Outcome, Status
from benchmark.sharpness import MEASURES, columns_of, reference_batch
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import load_task
from benchmark.training import train
from tests.benchmark.toys import CPU, document, first_cell

pytestmark = pytest.mark.slow
COLUMNS = columns_of(MEASURES)
# what differs by rounding between the two executions differs after a whole run as well; see fused/test_training.py
WHOLE_RUN = 1e-3


def alone(cell: Cell, **changes: Any) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    arguments: dict[str, Any] = {"device": CPU, "limit_s": math.inf, "sharpness": MEASURES, **changes}
    return train(task, cell.setting, cell.hyperparameters, cell.seed, **arguments)


def together(cells: Sequence[Cell], **changes: Any) -> list[Outcome]:
    setting = cells[0].setting
    arguments: dict[str, Any] = {"device": CPU, "limit_s": math.inf, "sharpness": MEASURES, **changes}
    runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
    return train_together(load_task(setting.task, setting.task_params), setting, runs, **arguments)


def measured(outcome: Outcome) -> dict[str, float]:
    return {name: outcome.metrics[name] for name in COLUMNS}


def cells_of(task: dict[str, Any], learning_rates: Sequence[float], **changes: Any) -> list[Cell]:
    rest: dict[str, Any] = {
        "optimizers": [{"name": "msam", "fixed": {"rho": 0.5}}],
        "gd": False,
        "space": {"lr": {"values": list(learning_rates)}},
    }
    return list(expand(Spec.from_mapping(document(tasks=[task], **{**rest, **changes}))))


DIGITS = {"name": "digits-mlp", "params": {"hidden": 8}}


@pytest.mark.parametrize(
    "task",
    [
        DIGITS,
        pytest.param({"name": "digits-cnn", "params": {"norm": "group"}}, marks=pytest.mark.slow),
        pytest.param({"name": "alignment-mfeat"}, marks=pytest.mark.slow),
    ],
    ids=["mlp", "cnn", "alignment"],
)
def test_it_changes_nothing_else(task: dict[str, Any]) -> None:
    (cell,) = cells_of(task, [0.01], seeds={"count": 1, "base": 2})
    with_it, without = alone(cell), alone(cell, sharpness=())
    assert set(with_it.metrics) == {*without.metrics, *COLUMNS}
    assert {name: value for name, value in with_it.metrics.items() if name not in COLUMNS} == dict(without.metrics)
    assert with_it.curve == without.curve
    assert with_it.cost.gradient_evaluations == without.cost.gradient_evaluations
    assert measured(with_it) == measured(alone(cell))
    found = measured(with_it)
    assert found["sharpness_lambda_max"] > 0
    assert 0 < found["sharpness_trace_se"] < abs(found["sharpness_trace"])
    assert 0 < found["sharpness_monge"] <= found["sharpness_sam"]


def test_fused_is_sequential_under_every_seed() -> None:
    cells = cells_of(DIGITS, [0.01, 0.1], seeds={"count": 3, "base": 0})
    for cell, outcome in zip(cells, together(cells), strict=True):
        assert measured(outcome) == pytest.approx(measured(alone(cell)), rel=WHOLE_RUN, abs=1e-4)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = cells_of(DIGITS, [0.01, 0.02, 0.04, 0.08, 0.1], seeds={"count": 1, "base": 0})
    at_once = [measured(outcome) for outcome in together(cells)]
    monkeypatch.setattr(training, "SHARPNESS_BYTES", 1)
    one_by_one = [measured(outcome) for outcome in together(cells)]
    for one, other in zip(at_once, one_by_one, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_the_model_is_measured_in_eval_mode_and_its_buffers_stay() -> None:
    """A CNN with batch norm: its running statistics are used, and are afterwards what they were."""
    task = load_task("digits-cnn", {"norm": "batch"})
    (cell,) = cells_of({"name": "digits-cnn", "params": {"norm": "batch"}}, [0.01], seeds={"count": 1, "base": 0})
    models = []
    original = task.model

    def kept(seed: int) -> torch.nn.Module:
        models.append(original(seed))
        return models[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "model", kept)
        for sharpness in (MEASURES, ()):
            outcome = train(
                task, cell.setting, cell.hyperparameters, 0, device=CPU, limit_s=math.inf, sharpness=sharpness
            )
            if sharpness:
                found = outcome
    measured_model, plain_model = (model.state_dict() for model in models)
    assert all(torch.equal(value, plain_model[name]) for name, value in measured_model.items())
    model = models[0].eval()
    batch = reference_batch(task.data(0, CPU).train)
    parameters = dict(model.named_parameters())
    loss = task.loss(model, batch)
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    norm = torch.cat([gradient.reshape(-1) for gradient in gradients]).norm()
    moved = {name: p + 0.05 * g / norm for (name, p), g in zip(parameters.items(), gradients, strict=True)}
    rise = task.loss(lambda *inputs: functional_call(model, moved, inputs), batch) - loss
    assert found.metrics["sharpness_sam"] == pytest.approx(rise.item(), rel=1e-3)


def test_a_diverged_run_has_none() -> None:
    cells = cells_of(DIGITS, [1e30, 0.05], seeds={"count": 1, "base": 0})
    for diverged, completed in (together(cells), [alone(cell) for cell in cells]):
        assert diverged.status is Status.DIVERGED
        assert diverged.metrics == {}
        assert all(math.isfinite(value) for value in measured(completed).values())


def test_what_the_limit_has_no_time_for_is_missing() -> None:
    """The clock jumps when the run is over: the run keeps its score."""
    (cell,) = cells_of(DIGITS, [0.05], seeds={"count": 1, "base": 0})
    steps = alone(cell).cost.steps

    def late() -> Any:
        # asked at the start, after each step but the last, then before the first measure
        ticks = itertools.chain([0.0] * steps, itertools.repeat(100.0))
        return lambda: next(ticks)

    for outcome in (alone(cell, limit_s=50.0, clock=late()), *together([cell], limit_s=50.0, clock=late())):
        assert outcome.status is Status.COMPLETED
        assert "test_accuracy" in outcome.metrics
        assert not set(COLUMNS) & set(outcome.metrics)


def test_a_landscape_has_closed_forms() -> None:
    """(1 - t1 t2)^2 at (a, b): Hessian [[2 b^2, 4 a b - 2], [4 a b - 2, 2 a^2]]."""
    task = {"name": "banana", "params": {"start": [-1.5, 0.5]}}
    cells = cells_of(task, [0.01, 0.02], budget={"epochs": 30, "batch_size": 1}, seeds={"count": 1, "base": 0})
    for outcome in (*together(cells), *(alone(cell) for cell in cells)):
        a, b = (outcome.curve[f"theta_{index}"][-1] for index in (0, 1))
        corner, tr = 4 * a * b - 2, 2 * (a * a + b * b)
        found = measured(outcome)
        largest = tr / 2 + math.hypot(b * b - a * a, corner)
        assert found["sharpness_lambda_max"] == pytest.approx(largest, rel=1e-4)
        assert found["sharpness_trace"] == pytest.approx(tr, rel=1e-5)
        assert found["sharpness_trace_se"] == 0.0
        g = (-2 * b * (1 - a * b), -2 * a * (1 - a * b))
        norm = math.hypot(*g)
        for name, length in (("sam", 0.05), ("monge", 0.05 / math.sqrt(1 + norm * norm))):
            moved = (1 - (a + length * g[0] / norm) * (b + length * g[1] / norm)) ** 2
            assert found[f"sharpness_{name}"] == pytest.approx(moved - (1 - a * b) ** 2, rel=1e-3, abs=1e-6)


def test_its_memory_is_part_of_a_cells() -> None:
    cell = first_cell()
    task = load_task(cell.setting.task, cell.setting.task_params)
    plain, sharp = (
        cell_bytes(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, sharpness=measures)
        for measures in ((), MEASURES)
    )
    assert sharp > plain
