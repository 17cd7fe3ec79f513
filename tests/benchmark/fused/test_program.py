"""Updates of many cells at once against those of the optimizer classes, step by step from a common state in fp32."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from benchmark.batches import batches_of
from benchmark.fused.program import Parameters, Program
from benchmark.fused.training import TOLERANCES
from benchmark.measuring import measured, measured_last, scored_splits
from benchmark.precision import in_precision
from benchmark.records import Scalar
from benchmark.schedule import lr_factor
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Setting
from benchmark.spec.models import Budget
from benchmark.tasks import Batch, Task, load_task, task_class, task_names
from optimizers import TwoPassOptimizer, build
from optimizers.functional import Memory, initial_memory, looks_twice
from tests.benchmark.toys import CPU
from tests.optimizers.cases import CASES

pytestmark = pytest.mark.slow

SEEDS = (3, 4)
N_STEPS = 4
RATES = (0.02, 0.1)
RULES: dict[str, dict[str, Any]] = {
    case.name: {} if case.name == "gd" else {"rho_warmup": 0.5, **case.hyperparameters} for case in CASES
}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("adam", {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}),
    "adamw": ("adamw", {"beta1": 0.8, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1}),
}
NARROW = Budget(epochs=1, batch_size=128, precision="bf16")
SCHEDULES = {
    "constant": Budget(epochs=1, batch_size=128),
    "cosine": Budget(epochs=1, batch_size=128, schedule="cosine", warmup=0.3),
}
# every task that says that its cells can be trained at once, small
TASKS: dict[str, dict[str, Any]] = {
    "alignment-mfeat": {"hidden": 16, "dim": 8},
    "breast-cancer-mlp": {"hidden": 8, "depth": 2},
    "charlm-transformer": {"width": 8, "heads": 2, "depth": 1, "context": 8, "train_share": 0.05},
    "digits-mlp": {"hidden": 8, "loss_scale": 2.0, "reduction": "sum"},
    "emoji-alignment": {"hidden": 16, "dim": 8},
    "digits-cnn group": {"norm": "group", "channels": 4},
    "digits-cnn none": {"norm": "none", "channels": 2},
    "mnist1d-cnn": {"channels": 3},
    "banana": {},
    "beale": {"box": [-1.0, 1.0]},  # steep further out
    "himmelblau": {"box": [-1.0, 1.0]},
    "parabola": {"dimension": 1},
    "parabola 3": {"dimension": 3},
    "rosenbrock": {"box": [-1.0, 1.0]},
    "saddle": {"eigenvalues": [1.0, -1.0, 3.0, -0.5]},
    "sinc": {},
}
TOO_LARGE = ("cifar10-resnet18", "clip-alignment")  # to be trained at once
LANDSCAPES = [name for name in TASKS if not task_class(name.partition(" ")[0]).has_split]


def setting_of(task: Task, rule: str, base: str, budget: Budget = SCHEDULES["constant"]) -> Setting:
    return Setting(task.name, task.version, task.params.model_dump(mode="json"), rule, base, budget)


def model_of(task: Task, seed: int) -> nn.Module:
    with seeded_torch(seed, Stream.INIT):
        return task.model(seed)


class Alone:
    """A cell with an optimizer of the class, whose state can be read."""

    def __init__(self, task: Task, setting: Setting, hyperparameters: Mapping[str, Scalar], seed: int) -> None:
        self.task, self.setting, self.hyperparameters, self.seed = task, setting, hyperparameters, seed
        self.model = model_of(task, seed)
        optimizer = build(
            setting.rule,
            self.model.named_parameters(),
            setting.base,
            hyperparameters,
            total_steps=N_STEPS,
            model=self.model,
            skip_non_finite=False,
        )
        assert isinstance(optimizer, TwoPassOptimizer)
        self.optimizer = optimizer

    def parameters(self) -> Parameters:
        return [p.detach().clone() for p in self.model.parameters()]

    def memory(self) -> Memory:
        """What it remembers, in the form of the pure updates."""
        memory = initial_memory(self.setting.rule, self.setting.base, self.parameters())
        for index, kept in self.optimizer.state_dict()["state"].items():
            for name in memory.keys() & kept.keys():
                if kept[name] is not None:
                    memory[name][index] = kept[name].detach().clone()
        return memory

    def step(self, batch: Batch, lr: float) -> list[Tensor]:
        """Take a step and return loss, norm of the gradient and length of the perturbation."""
        self.optimizer.param_groups[0]["lr"] = lr

        def closure() -> Any:
            self.optimizer.zero_grad()
            loss = self.task.loss(in_precision(self.model, self.setting.budget.precision, CPU), batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return loss.detach()

        loss: Any = self.optimizer.step(closure)
        return [torch.as_tensor(each) for each in (loss, self.optimizer.grad_norm, self.optimizer.delta_norm)]


def distance(mine: Tensor, theirs: Tensor, unit: float = 0.0) -> float:
    """How far a tensor is from another, in units of the largest element of that, or in a larger unit."""
    if torch.equal(mine, theirs):
        return 0.0
    return float((mine - theirs).abs().max()) / max(unit, float(theirs.abs().max()))


class Step(NamedTuple):
    """What a cell's step gave: loss, gradient norm, length of the perturbation; parameters before and after; memory."""

    scalars: list[Tensor]
    before: Parameters
    after: Parameters
    memory: Memory


def steps_of(program: Program, cells: list[Alone], budget: Budget) -> Iterator[tuple[Step, Step]]:
    """Yield what an update gives each cell and what the class gives it, over all steps.

    Before each step the cells at once start from the state that the classes have reached.
    """
    streams = {seed: batches_of(cells[0].task.data(seed, CPU).train, budget.batch_size, seed) for seed in SEEDS}
    rule = cells[0].setting.rule
    for step in range(N_STEPS):
        batches = {seed: next(stream) for seed, stream in streams.items()}
        factor = lr_factor(step, N_STEPS, budget)
        twice = [looks_twice(rule, cell.hyperparameters, step) for cell in cells]
        memories, before = [cell.memory() for cell in cells], [cell.parameters() for cell in cells]
        updated = program.update(
            [torch.stack(each) for each in zip(*before, strict=True)],
            {
                name: [torch.stack(each) for each in zip(*(memory[name] for memory in memories), strict=True)]
                for name in memories[0]
            },
            {
                name: torch.tensor([cell.hyperparameters[name] for cell in cells])
                for name in ("rho",)
                if name in cells[0].hyperparameters
            },
            tuple(torch.stack(parts) for parts in zip(*(batches[cell.seed] for cell in cells), strict=True)),
            lr=torch.tensor([float(cell.hyperparameters["lr"]) for cell in cells]) * factor,
            step=torch.tensor(step),
            twice=torch.tensor(twice) if rule == "look_sam" and any(twice) else None,
            one_batch=False,
        )
        for place, cell in enumerate(cells):
            scalars = cell.step(batches[cell.seed], float(cell.hyperparameters["lr"]) * factor)
            found = [updated.loss[place], updated.gradient_norm[place], updated.delta_norm[place]]
            after = [p[place] for p in updated.parameters]
            memory = {name: [tensor[place] for tensor in kept] for name, kept in updated.memory.items()}
            expected = Step(scalars, before[place], cell.parameters(), cell.memory())
            assert all(tensor.isfinite().all() for tensor in (*scalars, *expected.after))
            yield Step(found, before[place], after, memory), expected


def largest_distance(program: Program, cells: list[Alone], budget: Budget) -> float:
    """The largest distance of anything that an update gives from what the class gives, over all cells and steps."""
    largest = 0.0
    for found, expected in steps_of(program, cells, budget):
        largest = max(largest, *map(distance, found.scalars, expected.scalars))
        largest = max(largest, *map(distance, found.after, expected.after))
        for name, kept in expected.memory.items():
            # LookSAM's is the small difference of two gradients, and as exact as these
            unit = float(expected.scalars[1]) if name == "orthogonal_gradient" else 0.0
            largest = max(largest, *(distance(*pair, unit) for pair in zip(found.memory[name], kept, strict=True)))
    return largest


def largest_turn(program: Program, cells: list[Alone], budget: Budget) -> float:
    """The largest distance of loss, norms and the whole change of the parameters, over all cells and steps."""
    largest = 0.0
    for found, expected in steps_of(program, cells, budget):
        assert all(p.dtype is torch.float32 for p in (*found.after, *found.scalars, *expected.scalars))
        changes = [
            torch.cat([(after - before).flatten() for after, before in zip(step.after, step.before, strict=True)])
            for step in (found, expected)
        ]
        largest = max(largest, float((changes[0] - changes[1]).norm() / changes[1].norm()))
        largest = max(largest, *map(distance, found.scalars, expected.scalars))
    return largest


def cells_of(
    task: Task, setting: Setting, constants: Mapping[str, Scalar], rates: tuple[float, ...] = RATES
) -> list[Alone]:
    """Two cells under each of two seeds, of other lr and rho."""
    return [
        Alone(task, setting, {**constants, "lr": lr, **({} if setting.rule == "gd" else {"rho": 5 * lr})}, seed)
        for seed in SEEDS
        for lr in rates
    ]


@functools.cache
def program_of(rule: str, base: str) -> Program:
    """The program of a rule and a base on a small network, which takes long to trace."""
    task = load_task("digits-mlp", {"hidden": 4})
    name, values = BASES[base]
    return Program(task, setting_of(task, rule, name), model_of(task, 0), {**RULES[rule], **values}, N_STEPS)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("rule", RULES)
def test_an_update_is_that_of_the_class(rule: str, base: str, schedule: str) -> None:
    task, (name, values) = load_task("digits-mlp", {"hidden": 4}), BASES[base]
    setting = setting_of(task, rule, name, SCHEDULES[schedule])
    cells = cells_of(task, setting, {**RULES[rule], **values})
    assert largest_distance(program_of(rule, base), cells, setting.budget) <= TOLERANCES[setting.budget.precision]


@pytest.mark.parametrize("rule", RULES)
def test_an_update_in_bf16_is_that_of_the_class(rule: str) -> None:
    task, (name, values) = load_task("digits-mlp", {"hidden": 64}), BASES["nesterov"]
    setting, constants = setting_of(task, rule, name, NARROW), {**RULES[rule], **values}
    program = Program(task, setting, model_of(task, 0), constants, N_STEPS)
    assert 0 < largest_turn(program, cells_of(task, setting, constants), NARROW) <= TOLERANCES["bf16"]


@pytest.mark.parametrize("rule", ["gd", "sam", "msam"])
@pytest.mark.parametrize("name", [name for name in TASKS if name not in LANDSCAPES])
def test_an_update_of_any_task_in_bf16_is_that_of_the_class(name: str, rule: str) -> None:
    task = load_task(name.partition(" ")[0], TASKS[name])
    base, values = BASES["nesterov"]
    setting, constants = setting_of(task, rule, base, NARROW), {**RULES[rule], **values}
    program = Program(task, setting, model_of(task, 0), constants, N_STEPS)
    assert 0 < largest_turn(program, cells_of(task, setting, constants, (1e-3, 0.01)), NARROW) <= TOLERANCES["bf16"]


def test_every_task_that_can_fuse_is_here() -> None:
    assert {name.partition(" ")[0] for name in TASKS} == set(task_names()) - {"toy", *TOO_LARGE}
    assert all(load_task(name.partition(" ")[0], params).can_fuse for name, params in TASKS.items())
    assert not load_task("digits-cnn", {"norm": "batch"}).can_fuse
    assert not any(load_task(name).can_fuse for name in TOO_LARGE)


def _marks(name: str, rule: str) -> list[pytest.MarkDecorator]:
    """Tracing a convolution or attention takes longest, and a full step of LookSAM is one of SAM."""
    is_long = any(part in name for part in ("cnn", "alignment", "charlm"))
    return [pytest.mark.slow] if rule in ("sam", "msam") and is_long else []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        pytest.param(name, rule, marks=_marks(name, rule))
        for name in TASKS
        for rule in ("gd", "sam", "msam", "look_sam")
    ],
)
def test_an_update_of_any_task_is_that_of_the_class(name: str, rule: str) -> None:
    task = load_task(name.partition(" ")[0], TASKS[name])
    base, values = BASES["nesterov"]
    setting, constants = setting_of(task, rule, base), {**RULES[rule], **values}
    program = Program(task, setting, model_of(task, 0), constants, N_STEPS)
    cells = cells_of(task, setting, constants, (1e-4, 1e-3) if name in LANDSCAPES else (1e-3, 0.01))
    assert largest_distance(program, cells, setting.budget) <= TOLERANCES[setting.budget.precision]


def test_arguments_of_another_type_are_another_graph() -> None:
    """A graph of numbers of 32 bits would turn those of 64 into them, or refuse them."""
    task = load_task("banana")
    setting = setting_of(task, "sam", "sgd")
    constants = {**BASES["sgd"][1], "rho_warmup": 0.0}
    program = Program(task, setting, model_of(task, 0), constants, N_STEPS)
    at = torch.tensor([[1.0, 2.0], [0.5, -1.0], [2.0, 1.0]])

    def updated(dtype: torch.dtype, n: int, rho: Tensor) -> Tensor:
        parameters = [at[:n].to(dtype)]
        memory = initial_memory("sam", "sgd", parameters)
        batch = task.data(0, CPU).train
        rates = torch.full((n,), 0.01, dtype=dtype)
        found = program.update(
            parameters, memory, {"rho": rho}, batch, lr=rates, step=torch.tensor(0), twice=None, one_batch=True
        )
        assert {found.loss.dtype, found.delta_norm.dtype, found.memory["momentum_buffer"][0].dtype} == {dtype}
        return found.parameters[0]

    radii = torch.tensor([0, 1, 2])
    narrow = updated(torch.float32, 3, radii.to(torch.float32))
    wide = updated(torch.float64, 3, radii.to(torch.float64))
    assert (narrow.dtype, wide.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(narrow.to(torch.float64), wide, rtol=TOLERANCES["fp32"], atol=0)
    assert not torch.equal(narrow.to(torch.float64), wide)
    assert torch.equal(updated(torch.float32, 3, radii), narrow)
    assert torch.equal(updated(torch.float32, 2, radii.to(torch.float32)[:2]), narrow[:2])
    assert torch.equal(updated(torch.float32, 3, radii.to(torch.float32)), narrow)


@pytest.mark.parametrize("name", ["alignment-mfeat", "breast-cancer-mlp", "banana"])
def test_what_is_measured_is_what_the_task_says_of_each_model(name: str) -> None:
    task = load_task(name, TASKS[name])
    models = [model_of(task, seed) for seed in (0, 1, 2)]
    splits = task.data(0, CPU)
    program = Program(task, setting_of(task, "gd", "sgd"), models[0], {}, 1)
    stacked = [torch.stack([p.detach() for p in each]) for each in zip(*(m.parameters() for m in models), strict=True)]
    scores, trace = program.measure(stacked, splits)
    last = program.measure_last(stacked, splits)
    for place, model in enumerate(models):
        with torch.no_grad():
            expected = (
                measured(task, model, scored_splits(task, splits), at_end=False),
                task.trace(model),
                measured_last(task, model, splits),
            )
        for found, own in zip((scores, trace, last), expected, strict=True):
            assert found.keys() == own.keys()
            for metric, value in own.items():
                torch.testing.assert_close(found[metric][place], value, rtol=TOLERANCES["fp32"], atol=1e-6, msg=metric)


def test_buffers_are_the_same_where_names_and_values_are() -> None:
    task = load_task("banana")

    def model(**buffers: Tensor) -> nn.Module:
        made = task.model(0)
        for name, buffer in buffers.items():
            made.register_buffer(name, buffer)
        return made

    program = Program(task, setting_of(task, "gd", "sgd"), model(a=torch.ones(2)), {}, 1)
    assert program.same_buffers(model(a=torch.ones(2)))
    for other in (
        {},
        {"b": torch.ones(2)},
        {"a": torch.zeros(2)},
        {"a": torch.ones(1)},
        {"a": torch.ones(2), "b": torch.ones(2)},
    ):
        assert not program.same_buffers(model(**other))
