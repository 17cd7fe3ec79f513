"""The step loops never wait for their device: what they need of it is read at evaluations."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.fused import Run, train_together
from benchmark.records import Outcome, Status
from benchmark.sending import sent
from benchmark.spec import Cell, expand
from benchmark.tasks import load_task
from benchmark.training import train
from optimizers.functional import initial_memory, looks_twice, update
from tests.benchmark.toys import CPU, make_spec
from tests.optimizers.cases import CASES

pytestmark = pytest.mark.slow

aten = torch.ops.aten
RULES: dict[str, dict[str, Any]] = {
    case.name: {} if case.name == "gd" else {"rho": 0.1, "rho_warmup": 0.5, **case.hyperparameters} for case in CASES
}
BASES: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
    "adamw": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
}
# kernels that take a number of the host as an argument, in whatever form it comes
ARITHMETIC = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Notes the kernels that wait for a device: what reads a number, and what takes tensors of two devices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.seen: set[str] = set()
        self.is_armed = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        devices = {leaf.device for leaf in tree_leaves((args, kwargs, results)) if isinstance(leaf, Tensor)}
        is_read = func in (aten._local_scalar_dense.default, aten.equal.default)
        if self.is_armed and (is_read or (len(devices) > 1 and func not in ARITHMETIC)):
            self.seen.add(str(func))
        return results


def test_what_waits_is_noticed() -> None:
    with FakeTensorMode(), Waits() as waits:
        on_device, on_host = torch.ones(2, device="cuda"), torch.ones(())
        _ = on_device + on_host
        assert waits.seen == set()
        _ = torch.where(on_host > 0, on_device, on_device)
    with waits:
        float(torch.ones(()))
    assert waits.seen == {"aten.where.self", "aten._local_scalar_dense.default"}


@pytest.mark.parametrize("swept", [False, True], ids=["constant", "swept"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("rule", RULES)
def test_an_update_of_many_runs_never_waits(rule: str, base: str, swept: bool) -> None:
    """On a device that is only pretended: what would be computed there is known without it."""
    values = {**RULES[rule], **BASES[base]}
    with FakeTensorMode():
        parameters = [torch.ones(3, 4, 5, device="cuda"), torch.ones(3, 5, device="cuda")]
        memory = initial_memory(rule, base, parameters)
        rates = torch.ones(3, device="cuda")
        own = {name: torch.full((3,), value, device="cuda") for name, value in values.items()} if swept else {}
        twice = torch.ones(3, dtype=torch.bool, device="cuda") if rule == "look_sam" else None

        def one(ps: Any, kept: Any, mine: Any, lr: Any, full: Any, step: Any) -> Any:
            return update(
                rule,
                base,
                ps,
                kept,
                {**values, **mine},
                lambda at: ([2 * x for x in at], at[0].sum()),
                step=step,
                lr=lr,
                total_steps=10,
                is_weight=[True, False],
                twice=full,
            )

        axes = (0, 0, 0, 0, None if twice is None else 0, None)
        with Waits() as waits:
            vmap(one, in_dims=axes)(parameters, memory, own, rates, twice, torch.full((), 3, device="cuda"))
    assert waits.seen == set()


def cells_of(rule: str, base: str) -> list[Cell]:
    """Cells of two rates under two seeds, of 8 steps in 4 epochs, with evaluations after the 4th and the 8th."""
    fixed = {name: value for name, value in RULES[rule].items() if name != "k"}
    optimizers = [{"name": rule, "label": "own", "fixed": fixed}]
    budget = {"epochs": 4, "batch_size": 500, "schedule": "cosine", "warmup": 0.2}
    spec = make_spec(
        gd=False,
        optimizers=optimizers,
        base={"name": base, **BASES[base]},
        budget=budget,
        space={"lr": {"values": [0.01, 0.02]}},
    )
    return list(expand(spec))


def trained(cells: list[Cell], device: torch.device, clock: Callable[[], float], *, at_once: bool) -> list[Outcome]:
    """Train cells, with two evaluations each; the clock is asked once before the first step and once after each."""
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    task.max_evaluations = 2  # type: ignore[misc]  # of this one alone
    try:
        if at_once:
            runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
            return train_together(task, setting, runs, device=device, limit_s=60, clock=clock)
        return [train(task, setting, cells[0].hyperparameters, cells[0].seed, device=device, limit_s=60, clock=clock)]
    finally:
        del task.max_evaluations


@pytest.mark.parametrize("rule", RULES)
def test_cells_that_are_trained_at_once_are_not_read_between_evaluations(rule: str) -> None:
    waits, looks = Waits(), itertools.count()

    def clock() -> float:
        waits.is_armed = next(looks) in (1, 2)  # the steps 2 and 3 of 4
        return 0.0

    waits.is_armed = False
    with waits:
        outcomes = trained(cells_of(rule, "sgd"), CPU, clock, at_once=True)
    assert {outcome.status for outcome in outcomes} == {Status.COMPLETED}
    assert {outcome.curve["step"] for outcome in outcomes} == {(4.0, 8.0)}
    assert waits.seen == set()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("at_once", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("rule", RULES)
def test_a_step_never_waits_for_the_gpu(rule: str, base: str, at_once: bool) -> None:
    looks = itertools.count()
    device = torch.device("cuda", torch.cuda.current_device())

    def clock() -> float:
        torch.cuda.set_sync_debug_mode("error" if next(looks) in (1, 2) else "default")
        return 0.0

    cells = cells_of(rule, base)
    trained(cells, device, functools.partial(float, 0), at_once=at_once)  # libraries start, and kernels are loaded
    try:
        outcomes = trained(cells, device, clock, at_once=at_once)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert {outcome.status for outcome in outcomes} == {Status.COMPLETED}


def test_what_is_sent_arrives() -> None:
    tensor = torch.arange(5)
    assert sent(tensor, CPU) is tensor
    if torch.cuda.is_available():
        assert sent(tensor, torch.device("cuda")).tolist() == tensor.tolist()


def test_some_steps_of_look_sam_are_full_ones() -> None:
    assert {looks_twice("look_sam", RULES["look_sam"], step) for step in range(8)} == {False, True}
