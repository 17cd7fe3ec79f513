"""Gradients that are NaN or infinite, in either pass."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

import optimizers.foreach
from optimizers import GSAM, SAM, FriendlySAM
from tests.optimizers.cases import CASES, PERTURBING, Case, Problem, make, run


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", ["first", "second", "both"])
@pytest.mark.parametrize("base", ["sgd", "adamw"])
@pytest.mark.parametrize("case", CASES, ids=str)
class TestNotFinite:
    def test_theta_and_state_stay_and_it_is_reported(self, case: Case, base: str, which: str, value: float) -> None:
        problem = Problem()
        optimizer = make(case, problem, base)
        while True:
            run(optimizer, problem, 2)
            if case.passes == 1 or optimizer.needs_first_gradient:
                break
        start, state = problem.vector(), copy.deepcopy(optimizer.base_optimizer.state_dict()["state"])
        passes = 0

        def closure() -> Any:
            nonlocal passes
            loss = problem.closure(optimizer)()
            if which == "both" or case.passes == 1 or which == ("first", "second")[passes]:
                gradient = problem.parameters()[2].grad
                assert gradient is not None
                gradient.view(-1)[0] = value
            passes += 1
            return loss

        optimizer.step(closure)
        assert torch.equal(problem.vector(), start)
        assert bool(optimizer.non_finite)
        torch.testing.assert_close(optimizer.base_optimizer.state_dict()["state"], state, rtol=0, atol=0)
        assert all(math.isfinite(loss) for loss in run(optimizer, problem, 4))
        assert not optimizer.non_finite


def test_a_first_gradient_that_is_not_finite_perturbs_nothing() -> None:
    for case in PERTURBING:
        problem = Problem()
        optimizer = make(case, problem)
        start = problem.vector()
        for p in problem.parameters():
            p.grad = torch.full_like(p, math.nan)
        optimizer.first_step()
        assert torch.equal(problem.vector(), start), case
        assert float(optimizer.delta_norm) == 0


def test_skipping_can_be_left_to_the_base() -> None:
    problem = Problem()
    optimizer = make(CASES[1], problem, skip_non_finite=False)
    for _ in range(2):
        for p in problem.parameters():
            p.grad = torch.full_like(p, math.nan)
        (optimizer.first_step if optimizer.gradient_evaluations == 0 else optimizer.second_step)()
    assert problem.vector().isnan().all()


@pytest.fixture(params=["host", "device"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "device":
        monkeypatch.setattr(optimizers.foreach, "_scalar", lambda value: value)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("value", [math.nan, math.inf])
class TestFirstGradientAlone:
    def test_gsam_then_steps_with_the_second(self, value: float) -> None:
        p = nn.Parameter(torch.ones(3))
        optimizer = GSAM([p], torch.optim.SGD, lr=1.0, skip_non_finite=False)
        p.grad = torch.tensor([1.0, value, 0.0])
        optimizer.first_step()
        p.grad = torch.tensor([0.5, 0.25, 0.0])
        optimizer.second_step()
        assert p.tolist() == [0.5, 0.75, 1.0]

    def test_friendly_average_waits_for_a_finite_one(self, value: float) -> None:
        p = nn.Parameter(torch.ones(2))
        optimizer = FriendlySAM([p], torch.optim.SGD, lr=0.0, rho=1.0, sigma=1.0, decay=0.5)
        for gradient in ([value, 1.0], [-1.0, value], [3.0, 4.0]):
            p.grad = torch.tensor(gradient)
            optimizer.first_step()
            moved = p.detach() - 1
            optimizer.second_step()
            resumed = FriendlySAM([p], torch.optim.SGD, lr=0.0)
            resumed.load_state_dict(optimizer.state_dict())
            optimizer = resumed
        torch.testing.assert_close(moved, torch.tensor([0.6, 0.8]))
        assert optimizer.state_dict()["state"][0]["gradient_average"].tolist() == [3.0, 4.0]
        p.grad = torch.tensor([4.0, 4.0])
        optimizer.first_step()
        torch.testing.assert_close(p.detach() - 1, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_an_expanded_gradient_is_looked_at_as_well(value: float) -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = SAM([p], torch.optim.SGD, lr=0.5)
    p.grad = torch.autograd.grad(p.sum(), p)[0]
    assert p.grad.stride() == (0,)
    optimizer.first_step()
    p.grad = torch.autograd.grad(value * p.sum(), p)[0]
    optimizer.second_step()
    assert bool(optimizer.non_finite) is math.isnan(value)
    assert p.tolist() == ([1.0] * 3 if math.isnan(value) else [0.5] * 3)


def test_without_skipping_only_the_first_is_looked_at() -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = SAM([p], torch.optim.SGD, lr=0.0, skip_non_finite=False)
    reports = []
    for first, second in ((1.0, math.nan), (math.nan, 1.0)):
        p.grad = torch.full((2,), first)
        optimizer.first_step()
        p.grad = torch.full((2,), second)
        optimizer.second_step()
        reports.append(bool(optimizer.non_finite))
        p.data.fill_(1.0)
    assert reports == [False, True]
    assert optimizer._update.second is None
