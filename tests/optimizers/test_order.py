"""Half steps in and out of order, and errors in the middle of one."""

import pickle
from typing import Any

import pytest
import torch
from torch import nn

import optimizers.foreach
import optimizers.update
from optimizers import GD, SAM, HyperparameterError, ParameterError, StepOrderError
from optimizers.foreach import add_scaled_
from tests.optimizers.cases import CASES, PERTURBING, Case, Problem, make, run


class TestOrder:
    @pytest.mark.parametrize("case", PERTURBING, ids=str)
    def test_second_before_first(self, case: Case) -> None:
        with pytest.raises(StepOrderError, match=rf"first_step\(\) must come before the step of {case.cls.__name__}, "):
            make(case, Problem()).second_step()

    def test_first_twice(self) -> None:
        problem = Problem()
        optimizer = make(CASES[1], problem)
        problem.closure(optimizer)()
        optimizer.first_step()
        for action in (optimizer.first_step, lambda: optimizer.step(problem.closure(optimizer)), optimizer.state_dict):
            with pytest.raises(StepOrderError, match=r"needs the parameters at theta.*restore\(\)"):
                action()
        with pytest.raises(StepOrderError, match="a copy needs"):
            pickle.dumps(optimizer)
        optimizer.restore()
        optimizer.restore()
        optimizer.first_step()

    def test_a_rule_with_one_pass_needs_no_first_step(self) -> None:
        problem = Problem()
        optimizer = GD(problem.parameters(), torch.optim.SGD, lr=0.1)
        problem.closure(optimizer)()
        optimizer.second_step()
        assert optimizer.gradient_evaluations == 1

    def test_sync_is_one_of_two(self) -> None:
        with pytest.raises(HyperparameterError, match="ascent_sync must be 'local' or 'global', but got 'none'"):
            SAM(Problem().parameters(), torch.optim.SGD, lr=0.1, ascent_sync="none")  # type: ignore[arg-type]
        with pytest.raises(HyperparameterError, match="ascent_sync='local' needs the model"):
            SAM(Problem().parameters(), torch.optim.SGD, lr=0.1, ascent_sync="local")

    def test_nothing_is_loaded_or_added_between_the_halves(self) -> None:
        problem = Problem()
        optimizer = make(CASES[1], problem)
        saved, start = optimizer.state_dict(), problem.vector()
        problem.closure(optimizer)()
        optimizer.first_step()
        with pytest.raises(StepOrderError, match=r"load_state_dict\(\) needs the parameters at theta"):
            optimizer.load_state_dict(saved)
        with pytest.raises(StepOrderError, match=r"add_param_group\(\) needs the parameters at theta"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        assert len(optimizer.param_groups) == 1
        optimizer.restore()
        assert torch.equal(problem.vector(), start)
        optimizer.load_state_dict(saved)


class Failing(torch.optim.SGD):
    """A base whose step fails while it is told to."""

    fails = True

    def step(self, closure: Any = None) -> Any:
        if self.fails:
            raise KeyError("in the base")
        return super().step(closure)


class TestErrorInTheMiddle:
    def test_of_the_base(self) -> None:
        problem = Problem()
        optimizer = SAM(problem.parameters(), Failing, lr=0.1)
        start = problem.vector()
        with pytest.raises(KeyError, match="in the base"):
            optimizer.step(problem.closure(optimizer))
        assert torch.equal(problem.vector(), start)
        optimizer.state_dict()
        optimizer.base_optimizer.fails = False  # type: ignore[attr-defined]
        run(optimizer, problem, 1)
        assert not torch.equal(problem.vector(), start)

    def test_of_a_fused_base_leaves_no_flag_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(optimizers.foreach, "_scalar", lambda value: value)
        problem = Problem()
        optimizer = SAM(problem.parameters(), Failing, lr=0.1, fused=True)
        with pytest.raises(KeyError, match="in the base"):
            optimizer.step(problem.closure(optimizer))
        assert not hasattr(optimizer.base_optimizer, "found_inf")
        assert not hasattr(optimizer.base_optimizer, "grad_scale")

    def test_of_a_sparse_second_gradient(self) -> None:
        p = nn.Parameter(torch.ones(2))
        optimizer = SAM([p], torch.optim.SGD, lr=0.1)
        p.grad = torch.ones(2)
        optimizer.first_step()
        p.grad = torch.ones(2).to_sparse()
        with pytest.raises(ParameterError, match="gradients must be dense"):
            optimizer.second_step()
        assert p.tolist() == [1.0, 1.0]
        optimizer.state_dict()
        p.grad = torch.ones(2)
        optimizer.first_step()

    @pytest.mark.parametrize("half", [False, True])
    def test_of_the_displacement(self, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        add = add_scaled_

        def fail(xs: Any, ys: Any, scale: Any) -> None:
            add(xs, ys, scale)
            raise KeyError("in the middle")

        problem = Problem()
        optimizer = make(CASES[1], problem)
        start = problem.vector()
        problem.closure(optimizer)()
        with monkeypatch.context() as patch:
            patch.setattr(optimizers.update, "add_scaled_", fail)
            with pytest.raises(KeyError, match="in the middle"):
                optimizer.first_step() if half else optimizer.step(problem.closure(optimizer))
        assert torch.equal(problem.vector(), start)
        run(optimizer, problem, 1)
