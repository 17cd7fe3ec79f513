import hashlib
import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from benchmark.execution import train_cell
from benchmark.records import Outcome, PackPlace, Status
from benchmark.schedule import evaluation_steps
from benchmark.seeding import Stream, seeded_torch, torch_generator
from benchmark.spec import Cell, Spec, expand
from benchmark.tables import spec_table
from benchmark.tasks import Batch, Metric, Model, Splits, load_task, register_task
from benchmark.tasks.classification import cross_entropy
from benchmark.training import train
from tests.benchmark.toys import CPU, Toy, make_spec, toy_document

SCHEDULES = [
    {"epochs": 2, "batch_size": 128},
    {"epochs": 2, "batch_size": 100, "schedule": "cosine", "warmup": 0.2},
    {"epochs": 3, "batch_size": 5_000},
    {"gradient_evaluations": 26, "batch_size": 64, "warmup": 0.5},
]
RULES: dict[str, Callable[[float], float]] = {
    "sam": lambda norm: 1 / norm,
    "msam": lambda norm: 1 / (norm * math.sqrt(1 + norm**2)),
}


def cell_of(rule: str, budget: dict[str, Any], **changes: Any) -> Cell:
    fixed = {} if rule == "gd" else {"rho": 0.2}
    optimizers = [{"name": rule, "fixed": fixed}]
    space = {"lr": {"values": [0.3]}}
    spec = make_spec(**{"gd": False, "optimizers": optimizers, "budget": budget, "space": space, **changes})
    return next(expand(spec))


def run_cell(cell: Cell, **changes: Any) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    arguments: dict[str, Any] = {"device": CPU, "limit_s": math.inf, **changes}
    return train(task, cell.setting, cell.hyperparameters, cell.seed, **arguments)


def run_toy(rule: str = "gd", *, clock: Iterator[float] | None = None, epochs: int = 2, **params: Any) -> Outcome:
    optimizers = [] if rule == "gd" else [{"name": rule, "fixed": {"rho": 0.1}}]
    changes = {"gd": rule == "gd", "optimizers": optimizers, "budget": {"epochs": epochs, "batch_size": 5}}
    cell = next(expand(Spec.from_mapping(toy_document({"toy": params}, **changes))))
    return run_cell(cell) if clock is None else run_cell(cell, clock=clock.__next__, limit_s=10)


def straightforward(cell: Cell) -> tuple[nn.Module, list[float]]:
    """The same training, written down as plainly as it can be: torch's SGD, and the two passes by hand."""
    task = load_task(cell.setting.task, cell.setting.task_params)
    inputs, targets = task.splits(cell.seed).train
    with seeded_torch(cell.seed, Stream.INIT):
        model = task.model(cell.seed)
    h, budget = cell.hyperparameters, cell.setting.budget
    sgd = torch.optim.SGD(model.parameters(), lr=h["lr"], momentum=float(h["momentum"]), weight_decay=h["weight_decay"])
    passes = 1 if cell.setting.rule == "gd" else 2
    per_epoch = max(1, len(inputs) // budget.batch_size)
    total = budget.epochs * per_epoch if budget.epochs else (budget.gradient_evaluations or 0) // passes
    n_warmup = round(budget.warmup * total)
    generator = torch_generator(cell.seed, Stream.ORDER)
    losses: list[float] = []
    while len(losses) < total:
        order = torch.randperm(len(inputs), generator=generator)
        for first in range(0, per_epoch * budget.batch_size, budget.batch_size):
            step = len(losses)
            if step == total:
                break
            batch = order[first : first + budget.batch_size]
            factor = 1.0
            if step < n_warmup:
                factor = (step + 1) / n_warmup
            elif budget.schedule == "cosine":
                factor = 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / (total - n_warmup)))
            sgd.param_groups[0]["lr"] = h["lr"] * factor
            sgd.zero_grad()
            loss = cross_entropy(model(inputs[batch]), targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
            if passes == 2:
                kept = [parameter.detach().clone() for parameter in model.parameters()]
                gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
                norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
                with torch.no_grad():
                    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                        parameter.add_(gradient, alpha=h["rho"] * RULES[cell.setting.rule](norm))
                sgd.zero_grad()
                cross_entropy(model(inputs[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
                with torch.no_grad():
                    for parameter, value in zip(model.parameters(), kept, strict=True):
                        parameter.copy_(value)
            sgd.step()
    return model, losses


def single(value: float) -> float:
    """The nearest number of single precision."""
    return float(torch.tensor(value, dtype=torch.float32))


@pytest.mark.parametrize("budget", SCHEDULES)
@pytest.mark.parametrize("rule", ["gd", "sam", "msam"])
def test_the_loop_is_the_straightforward_one(rule: str, budget: dict[str, Any]) -> None:
    cell = cell_of(rule, budget, base={"name": "sgd", "momentum": 0.9, "weight_decay": 0.001})
    outcome = run_cell(cell)
    model, losses = straightforward(cell)
    task = load_task(cell.setting.task, cell.setting.task_params)
    splits = task.splits(cell.seed)
    with torch.no_grad():
        expected = {
            f"{name}_{metric}": value.item()
            for name, split in (("val", splits.validation), ("test", splits.test))
            for metric, value in task.evaluate(model, split).items()
        }
        expected["train_loss"] = task.evaluate(model, splits.train)["loss"].item()
    ends = evaluation_steps(len(losses), 20)
    means = [single(statistics.fmean(losses[first:last])) for first, last in itertools.pairwise((0, *ends))]
    tolerance = 0 if rule == "gd" else 1e-5
    assert outcome.metrics == pytest.approx(expected, rel=tolerance, abs=0)
    assert outcome.curve["train_loss"] == pytest.approx(means, rel=tolerance, abs=0)
    assert outcome.curve["step"] == tuple(map(float, ends))
    assert outcome.cost.steps == len(losses)
    assert outcome.cost.gradient_evaluations == len(losses) * (1 if rule == "gd" else 2)


def test_a_budget_in_gradient_evaluations_is_never_exceeded() -> None:
    spent = {
        rule: run_cell(cell_of(rule, {"gradient_evaluations": 9})).cost.gradient_evaluations
        for rule in ("gd", "sam", "msam", "momentum_sam")
    }
    assert spent == {"gd": 9, "sam": 8, "msam": 8, "momentum_sam": 9}


def _spy(monkeypatch: pytest.MonkeyPatch, cell: Cell) -> tuple[str, str, str]:
    """Hashes of the training split, the initial parameters and the first batch that a cell meets."""
    task = load_task(cell.setting.task, cell.setting.task_params)
    seen: list[str] = []
    loss = type(task).loss

    def spying(self: Any, model: nn.Module, batch: Any) -> Any:
        if not seen:
            seen.extend((_digest(*model.parameters()), _digest(*batch)))
        return loss(self, model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(type(task), "loss", spying)
        run_cell(cell)
    return _digest(*task.splits(cell.seed).train), seen[0], seen[1]


def _digest(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()[:16]


def test_cells_of_a_seed_share_split_initialisation_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(
        budget={"gradient_evaluations": 2},
        optimizers=[
            {"name": "sam", "fixed": {"rho": 0.5}},
            {"name": "asam", "fixed": {"rho": 0.5}},
            {"label": "adam", "name": "gd", "base": {"name": "adam"}},
            {"label": "smooth", "name": "gd", "fixed": {"momentum": 0.1}},
        ],
        space={"lr": {"values": [0.01, 0.1]}},
        seeds={"count": 2, "base": 0},
    )
    seen: dict[int, set[tuple[str, str, str]]] = {}
    for cell in expand(spec):
        seen.setdefault(cell.seed, set()).add(_spy(monkeypatch, cell))
    assert [len(starts) for starts in seen.values()] == [1, 1]
    (first,), (second,) = seen.values()
    assert not set(first) & set(second)
    assert first == ("958dffec313bfa2a", "eee87b310cb01f82", "388ff205762f43ae")


def test_the_same_cell_twice_is_the_same_to_the_bit() -> None:
    cell = cell_of("msam", {"epochs": 2, "batch_size": 64})
    state = torch.get_rng_state()
    first = run_cell(cell)
    torch.manual_seed(12345)
    second = run_cell(cell)
    torch.set_rng_state(state)
    assert (first.metrics, first.curve, first.diagnostics) == (second.metrics, second.curve, second.diagnostics)


def test_a_cell_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    run_cell(cell_of("sam", {"epochs": 1}))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "accuracy"), [("gd", 0.93), ("sam", 0.93), ("msam", 0.93)])
def test_a_good_cell_learns(rule: str, accuracy: float) -> None:
    task = [{"name": "digits-mlp", "params": {"hidden": 64}}]
    outcome = run_cell(cell_of(rule, {"epochs": 10}, tasks=task, space={"lr": {"values": [0.1]}}))
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.metrics["test_accuracy"] > accuracy


def test_without_learning_a_cell_stays_where_it_started_and_has_collapsed() -> None:
    outcome = run_cell(cell_of("sam", {"epochs": 1}, space={"lr": {"values": [1e-30]}}))
    assert outcome.status is Status.COMPLETED
    assert outcome.collapsed
    assert len(set(outcome.curve["test_accuracy"])) == 1


@pytest.mark.parametrize("fault", ["nan_loss", "inf_loss"])
@pytest.mark.parametrize(("rule", "passes"), [("gd", 1), ("sam", 2)])
@pytest.mark.parametrize(("n_steps", "step"), [(4, 1), (4, 4), (200, 33), (200, 200)])
def test_a_run_diverges_at_the_step_whose_loss_is_not_finite(
    fault: str, rule: str, passes: int, n_steps: int, step: int
) -> None:
    outcome = run_toy(rule, epochs=n_steps // 2, fault=fault, call=passes * (step - 1) + 1)
    assert outcome.status is Status.DIVERGED
    assert outcome.diverged_at_step == step
    assert outcome.metrics == {}
    assert not outcome.collapsed
    before = [float(at) for at in evaluation_steps(n_steps, 20) if at < step]
    assert list(outcome.curve.get("step", ())) == before
    assert all(math.isfinite(value) for series in outcome.curve.values() for value in series)


@pytest.mark.parametrize(
    ("n_steps", "step", "noticed"),
    [(4, 4, 4), (4, 2, 2), (40, 1, 2), (200, 33, 34), (200, 30, 30), (200, 200, 200)],
)
def test_a_gradient_that_is_not_finite_ends_the_run(n_steps: int, step: int, noticed: int) -> None:
    outcome = run_toy(epochs=n_steps // 2, fault="nan_gradient", call=step)
    assert (outcome.status, outcome.diverged_at_step, outcome.metrics) == (Status.DIVERGED, noticed, {})
    assert outcome.diagnostics.grad_norm is None or math.isfinite(outcome.diagnostics.grad_norm)


def test_a_run_with_large_but_finite_parameters_goes_on() -> None:
    """The squares of the parameters overflow, and they themselves do not."""
    budget = {"gradient_evaluations": 1}
    changes = {"space": {"lr": {"values": [1e20]}}, "budget": budget, "gd": False}
    sam = [{"name": "gd", "label": "huge"}]
    cell = next(expand(Spec.from_mapping(toy_document({"toy": {}}, **{**changes, "optimizers": sam}))))
    task = load_task("toy", {})
    outcome = run_cell(cell)
    assert outcome.diagnostics.grad_norm is not None
    assert outcome.diverged_at_step == 1
    assert len(outcome.curve["step"]) == 1
    assert task.has_collapsed(1e7, {})


def test_a_run_ends_at_its_limit_with_the_curve_so_far() -> None:
    outcome = run_toy(epochs=20, clock=itertools.count(0.0, 1.0))
    assert outcome.status is Status.TIMED_OUT
    assert outcome.cost.steps == 11
    assert outcome.curve["step"] == (2.0, 4.0, 6.0, 8.0, 10.0)
    assert outcome.metrics == {}
    assert outcome.cost.elapsed_s == 12.0


def test_a_run_that_reaches_its_end_late_has_not_timed_out() -> None:
    outcome = run_toy(epochs=1, clock=itertools.chain([0.0, 1.0], itertools.repeat(100.0)))
    assert outcome.status is Status.COMPLETED
    assert outcome.cost.steps == 2


def test_a_run_that_has_diverged_before_its_limit_has_diverged() -> None:
    outcome = run_toy(epochs=100, clock=itertools.count(0.0, 1.0), fault="nan_loss", call=11)
    assert (outcome.status, outcome.diverged_at_step) == (Status.DIVERGED, 11)


def test_diagnostics_are_medians_over_the_steps() -> None:
    sam, msam, gd = (run_cell(cell_of(rule, {"epochs": 2})).diagnostics for rule in ("sam", "msam", "gd"))
    assert sam.delta_over_rho == pytest.approx(1, rel=1e-5)
    assert msam.delta_over_rho is not None
    assert msam.grad_norm is not None
    assert msam.delta_over_rho == pytest.approx(1 / math.sqrt(1 + msam.grad_norm**2), rel=0.02)
    assert gd.delta_over_rho is None
    assert gd.grad_norm is not None
    assert gd.grad_norm > 0
    still = run_cell(cell_of("sam", {"epochs": 1}, optimizers=[{"name": "sam", "fixed": {"rho": 0.0}}]))
    assert still.diagnostics.delta_over_rho is None


class Slope(Toy):
    """Roll down a slope without data: no split, a finer curve with the place on it, and a score at the end."""

    name: ClassVar[str] = "slope"
    has_split: ClassVar[bool] = False
    max_evaluations: ClassVar[int] = 50
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "minimize", 0.1, 10.0, "height"),
        Metric("low", "maximize", 0.1, 0.0, "whether it ended low", at_end=True),
    )

    def splits(self, seed: int) -> Splits:
        return Splits((torch.zeros(1, 2),))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        height: Tensor = model(batch[0]).square().sum()
        return height

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        return {"loss": self.loss(model, split)}

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        return {"low": (self.loss(model, split) < 1).float()}

    def trace(self, model: Model) -> dict[str, Tensor]:
        return {"place": model(torch.zeros(1, 2)).squeeze()}


def test_a_task_without_split_has_scores_of_its_own_and_a_trace() -> None:
    register_task(Slope)
    tasks = [{"name": "slope"}, {"name": "toy"}]
    spec = make_spec(tasks=tasks, budget={"epochs": 30}, optimizers=[], space={"lr": {"values": [0.01]}})
    records = {}
    for cell in expand(spec):
        records[cell.key] = train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60)
    outcome = next(record.outcome for record in records.values())
    assert set(outcome.metrics) == {"train_loss", "loss", "low"}
    assert set(outcome.curve) == {"step", "train_loss", "loss", "place"}
    assert outcome.curve["step"] == tuple(float(step) for step in range(1, 31))
    assert outcome.curve["place"][-1] ** 2 == pytest.approx(outcome.metrics["loss"])
    assert outcome.metrics["train_loss"] == outcome.metrics["loss"]
    assert outcome.metrics["low"] == 1
    table = spec_table(spec, records)
    assert {task.task: task.has_split for task in table.tasks} == {"slope": False, "toy": True}
    assert table.complete
