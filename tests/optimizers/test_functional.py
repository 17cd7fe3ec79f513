"""The pure updates, mapped over runs, against the classes."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from optimizers import base_names, build, optimizer_info
from optimizers.functional import initial_memory, is_functional, looks_twice, update
from tests.optimizers.cases import CASES, Case

N_STEPS = 7
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.01}),
    "plain sgd": ("sgd", {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.0}),
    "adam": ("adam", {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}),
    "adamw": ("adamw", {"beta1": 0.8, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1}),
}
CELLS = [{"lr": 0.05, "rho": 0.1}, {"lr": 0.01, "rho": 0.0}, {"lr": 0.1, "rho": 0.5}]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    xs = torch.randn(N_STEPS, 8, 4, generator=generator, dtype=torch.float64)
    return [(x, x.sum(dim=1, keepdim=True).sin()) for x in xs]


def by_class(case: Case, base: str, values: dict[str, Any]) -> dict[str, Any]:
    """Parameters, losses and norms of a run of the class."""
    model = network()
    given = {name: value for name, value in values.items() if case.name != "gd" or name not in ("rho", "rho_warmup")}
    optimizer = build(
        case.name, model.named_parameters(), base, given, total_steps=N_STEPS, model=model, skip_non_finite=False
    )
    seen: dict[str, Any] = {"loss": [], "gradient_norm": [], "delta_norm": []}
    for x, y in batches():

        def closure(x: Tensor = x, y: Tensor = y) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return loss.detach()

        seen["loss"].append(float(optimizer.step(closure)))
        seen["gradient_norm"].append(float(optimizer.grad_norm))
        seen["delta_norm"].append(float(optimizer.delta_norm))
    return {**seen, "parameters": [p.detach().clone() for p in model.parameters()], "n": optimizer.gradient_evaluations}


def fused(case: Case, base: str, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of several runs at once; each first index is a run."""
    model = network()
    names = [name for name, _ in model.named_parameters()]
    parameters = [p.detach().expand(len(cells), *p.shape).clone() for p in model.parameters()]
    memory = initial_memory(case.name, base, parameters)
    kinds = {name: torch.float64 if isinstance(value, float) else None for name, value in cells[0].items()}
    values = {name: torch.tensor([cell[name] for cell in cells], dtype=kind) for name, kind in kinds.items()}
    is_weight = ["bias" not in name for name in names]
    seen: dict[str, Any] = {"loss": [], "gradient_norm": [], "delta_norm": [], "n": [0] * len(cells)}
    for step, (x, y) in enumerate(batches()):
        twice = [looks_twice(case.name, cell, step) for cell in cells]
        seen["n"] = [n + 1 + two for n, two in zip(seen["n"], twice, strict=True)]
        full = torch.tensor(twice) if case.name == "look_sam" and any(twice) else None

        def one(
            ps: list[Tensor],
            kept: dict[str, list[Tensor]],
            own: dict[str, Tensor],
            two: Tensor | None,
            x: Tensor = x,
            y: Tensor = y,
            step: int = step,
        ) -> Any:
            def gradient(at: list[Tensor]) -> tuple[list[Tensor], Tensor]:
                return grad_and_value(
                    lambda qs: nn.functional.mse_loss(functional_call(model, dict(zip(names, qs, strict=True)), x), y)
                )(at)

            return update(
                case.name, base, ps, kept, own, gradient,
                step=torch.tensor(step), lr=own["lr"], total_steps=N_STEPS, is_weight=is_weight, twice=two,
            )  # fmt: skip

        updated = vmap(one, in_dims=(0, 0, 0, None if full is None else 0))(parameters, memory, values, full)
        parameters, memory = updated.parameters, updated.memory
        for name in ("loss", "gradient_norm", "delta_norm"):
            seen[name].append(getattr(updated, name).tolist())
    return {**seen, "parameters": parameters}


def test_every_optimizer_has_a_functional_form() -> None:
    assert all(is_functional(case.name, base) for case in CASES for base in base_names())
    assert not is_functional("sam", "lbfgs")
    assert not is_functional("own", "sgd")


@pytest.mark.parametrize(
    ("case", "base"),
    [pair for pair in itertools.product(CASES, BASES) if (pair[0].name, pair[1]) != ("momentum_sam", "plain sgd")],
    ids=str,
)
def test_fused_runs_are_those_of_the_class(case: Case, base: str) -> None:
    name, rest = BASES[base]
    rule = {"rho_warmup": 0.5, **case.hyperparameters} if case.name != "gd" else {}
    cells = [{**rest, **rule, **cell} for cell in CELLS]
    together = fused(case, name, cells)
    for place, cell in enumerate(cells):
        alone = by_class(case, name, cell)
        for series in ("loss", "gradient_norm", "delta_norm"):
            own = [values[place] for values in together[series]]
            assert own == pytest.approx(alone[series], rel=1e-9, abs=1e-12), series
        for mine, theirs in zip(together["parameters"], alone["parameters"], strict=True):
            torch.testing.assert_close(mine[place], theirs, rtol=1e-9, atol=1e-12)
        assert together["n"][place] == alone["n"]


@pytest.mark.parametrize(("name", "values"), [("look_sam", [1, 2, 3]), ("gsam", [0.0, 0.4, 1.0])])
def test_hyperparameters_may_differ_between_runs(name: str, values: list[float]) -> None:
    case = next(case for case in CASES if case.name == name)
    swept = "k" if name == "look_sam" else "alpha"
    base, rest = BASES["sgd"]
    cells = [{**rest, "rho_warmup": 0.0, **case.hyperparameters, "lr": 0.05, swept: value} for value in values]
    together = fused(case, base, cells)
    for place, cell in enumerate(cells):
        alone = by_class(case, base, cell)
        assert [losses[place] for losses in together["loss"]] == pytest.approx(alone["loss"], rel=1e-9)
        assert together["n"][place] == alone["n"]


def test_a_run_that_diverges_leaves_the_others_alone() -> None:
    case = next(case for case in CASES if case.name == "sam")
    base, rest = BASES["sgd"]
    good = [{**rest, "rho_warmup": 0.0, **cell} for cell in CELLS]
    bad = {**good[0], "lr": 1e300}
    among, alone = fused(case, base, [good[0], bad, *good[1:]]), fused(case, base, good)
    assert not torch.isfinite(among["parameters"][0][1]).all()
    for mine, theirs in zip(among["parameters"], alone["parameters"], strict=True):
        assert torch.equal(mine[[0, 2, 3]], theirs)


def test_gradient_evaluations_are_those_of_the_registry() -> None:
    for case, k in itertools.product(CASES, (1, 4)):
        values = {**case.hyperparameters, "k": k}
        n = sum(1 + looks_twice(case.name, values, step) for step in range(20))
        assert n == 20 * optimizer_info(case.name).gradient_evaluations(values)
