"""Gradient scalers: the loop of the class's documentation."""

import math
from typing import Any

import pytest
import torch

from optimizers import MSAM, TwoPassOptimizer
from tests.optimizers.cases import CASES, Case, Problem, backward, make


class TestScaler:
    """The documented loop, on a CPU scaler."""

    @staticmethod
    def update(optimizer: TwoPassOptimizer, problem: Problem, scaler: Any, batch: int, spoil: bool = False) -> None:
        if optimizer.needs_first_gradient:
            backward(scaler.scale(problem.loss(batch)))
        optimizer.first_step(grad_scale=scaler.get_scale())
        with optimizer.second_pass():
            backward(scaler.scale(problem.loss(batch)))
        if spoil:
            problem.parameters()[0].grad = torch.full_like(problem.parameters()[0], math.inf)
        scaler.unscale_(optimizer)
        optimizer.restore()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_scaled_is_unscaled(self, case: Case) -> None:
        one, two = Problem(torch.float64), Problem(torch.float64)
        plain, scaled = make(case, one), make(case, two)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        for batch in range(5):
            plain.step(one.closure(plain, batch))
            self.update(scaled, two, scaler, batch)
        torch.testing.assert_close(one.vector(), two.vector(), rtol=1e-6, atol=1e-8)
        assert plain.gradient_evaluations == scaled.gradient_evaluations
        torch.testing.assert_close(plain.grad_norm, scaled.grad_norm)
        torch.testing.assert_close(plain.delta_norm, scaled.delta_norm)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_a_skipped_step_leaves_theta_bitwise(self, case: Case) -> None:
        problem = Problem()
        optimizer = make(case, problem)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        for batch in range(3):
            self.update(optimizer, problem, scaler, batch)
        start = problem.vector()
        self.update(optimizer, problem, scaler, 3, spoil=True)
        assert torch.equal(problem.vector(), start)
        assert scaler.get_scale() == 2.0**9
        self.update(optimizer, problem, scaler, 4)
        assert not torch.equal(problem.vector(), start)

    def test_forgetting_the_scale_turns_monge_into_the_base(self) -> None:
        problem = Problem()
        optimizer = MSAM(problem.parameters(), torch.optim.SGD, lr=0.1, rho=0.1)
        backward(2.0**16 * problem.loss())
        optimizer.first_step(zero_grad=False)
        assert float(optimizer.delta_norm) < 1e-5
        optimizer.restore()
        optimizer.first_step(grad_scale=torch.tensor(2.0**16))
        assert float(optimizer.delta_norm) > 0.03
