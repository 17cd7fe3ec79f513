"""What an accelerator runs: scalars that stay tensors. Its kernels exist on CPUs too, and so does the path."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import optimizers.foreach
from tests.optimizers.cases import CASES, Case, Problem, make, run


@pytest.fixture(autouse=True)
def scalars_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers.foreach, "_scalar", lambda value: value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_updates_are_those_of_the_host(case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    device, host = Problem(dtype, norm=False), Problem(dtype, norm=False)
    run(make(case, device), device, 6)
    monkeypatch.undo()
    run(make(case, host), host, 6)
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(device.vector(), host.vector(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_fetched_from_the_device(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Tensor) -> Any:
        raise AssertionError("a value was fetched")

    problem = Problem()
    optimizer = make(case, problem, skip_non_finite=False)
    for name in ("item", "tolist", "__float__", "__bool__", "__int__"):
        monkeypatch.setattr(Tensor, name, refuse)
    for batch in range(4):
        optimizer.step(problem.closure(optimizer, batch))
    for diagnostic in (optimizer.grad_norm, optimizer.delta_norm, optimizer.non_finite):
        assert diagnostic.shape == ()


@pytest.mark.parametrize("arguments", [{"fused": True}, {"skip_non_finite": True}], ids=["fused", "asked for"])
@pytest.mark.parametrize("base", ["sgd", "adamw"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_gradient_that_is_not_finite_is_skipped(case: Case, base: str, arguments: dict[str, Any]) -> None:
    problem = Problem()
    optimizer = make(case, problem, base, **arguments)
    run(optimizer, problem, 3)
    start = problem.vector()

    def closure() -> Any:
        loss = problem.closure(optimizer)()
        gradient = problem.parameters()[0].grad
        assert gradient is not None
        gradient.fill_(math.nan)
        return loss

    optimizer.step(closure)
    assert torch.equal(problem.vector(), start)
    assert bool(optimizer.non_finite)
    assert all(math.isfinite(loss) for loss in run(optimizer, problem, 3))
