"""The update itself: passes, restoration, gradients that are not finite, scalers, accumulation, hooks."""

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from optimizers import GD, MSAM, SAM, HyperparameterError, StepOrderError, TwoPassOptimizer, frozen_buffers
from tests.optimizers.cases import BASES, CASES, PERTURBING, Case, Problem, backward, make, run


@pytest.mark.parametrize("case", CASES, ids=str)
class TestClosure:
    def test_called_once_a_pass_with_gradients_and_loss_at_theta(self, case: Case) -> None:
        problem = Problem(norm=False)
        optimizer = make(case, problem)
        expected = float(problem.loss().detach())
        calls: list[Tensor] = []

        def closure() -> Any:
            assert torch.is_grad_enabled()
            optimizer.zero_grad()
            loss = problem.loss()
            backward(loss)
            calls.append(loss.detach())
            return loss

        loss: Any = optimizer.step(closure)
        assert len(calls) == case.passes
        assert loss.item() == expected

    def test_half_steps_are_the_step(self, case: Case) -> None:
        one, two = Problem(), Problem()
        whole, halves = make(case, one), make(case, two)
        run(whole, one, 7)
        for batch in range(7):
            if halves.needs_first_gradient:
                with halves.first_pass():
                    backward(two.loss(batch))
            halves.first_step(zero_grad=True)
            with halves.second_pass():
                backward(two.loss(batch))
            halves.second_step(zero_grad=True)
        assert torch.equal(one.vector(), two.vector())
        assert whole.gradient_evaluations == halves.gradient_evaluations
        for mine, theirs in zip(one.model.buffers(), two.model.buffers(), strict=True):
            assert torch.equal(mine, theirs)

    def test_gradients_are_kept_where_they_are_not_to_be_cleared(self, case: Case) -> None:
        problem = Problem()
        optimizer = make(case, problem)
        problem.closure(optimizer)()
        gradients = [p.grad.clone() for p in problem.parameters() if p.grad is not None]
        optimizer.first_step(zero_grad=False)
        for p, gradient in zip(problem.parameters(), gradients, strict=True):
            assert p.grad is not None
            assert torch.equal(p.grad, gradient)

    def test_an_error_in_a_pass_puts_theta_back(self, case: Case) -> None:
        problem = Problem()
        optimizer = make(case, problem)
        run(optimizer, problem, 2)
        start = problem.vector()
        calls = 0

        def closure() -> Any:
            nonlocal calls
            calls += 1
            if calls == 2 or not optimizer.needs_first_gradient:
                raise KeyError("inside")
            return problem.closure(optimizer)()

        with pytest.raises(KeyError, match="inside"):
            optimizer.step(closure)
        assert torch.equal(problem.vector(), start)
        run(optimizer, problem, 1)

    def test_buffers_count_once_an_update(self, case: Case) -> None:
        problem = Problem()
        run(make(case, problem), problem, 5)
        assert problem.model[1].num_batches_tracked == 5


@pytest.mark.parametrize("case", PERTURBING, ids=str)
def test_theta_is_restored_bitwise_and_in_place(case: Case) -> None:
    problem = Problem()
    optimizer = make(case, problem)
    run(optimizer, problem, 3)
    start, pointers = problem.vector(), [p.data_ptr() for p in problem.parameters()]
    problem.closure(optimizer)()
    optimizer.first_step()
    assert torch.equal(problem.vector(), start) == (optimizer.delta_norm == 0)
    optimizer.restore()
    assert torch.equal(problem.vector(), start)
    assert [p.data_ptr() for p in problem.parameters()] == pointers


def test_restored_even_where_no_second_gradient_comes() -> None:
    problem = Problem()
    optimizer = make(CASES[1], problem)
    start = problem.vector()
    problem.closure(optimizer)()
    optimizer.first_step()
    optimizer.second_step()
    assert torch.equal(problem.vector(), start)


def test_weight_decay_is_outside_the_perturbation() -> None:
    with_decay, without = Problem(torch.float64), Problem(torch.float64)
    moves = []
    for problem, decay in ((with_decay, 0.5), (without, 0.0)):
        optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.1, rho=0.1, weight_decay=decay)
        start = problem.vector()
        problem.closure(optimizer)()
        optimizer.first_step()
        moves.append(problem.vector() - start)
    assert torch.equal(*moves)


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
        start, state = problem.vector(), copy.deepcopy(optimizer.base.state_dict()["state"])
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
        torch.testing.assert_close(optimizer.base.state_dict()["state"], state, rtol=0, atol=0)
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


class TestOrder:
    @pytest.mark.parametrize("case", [case for case in PERTURBING if case.name != "gd"], ids=str)
    def test_second_before_first(self, case: Case) -> None:
        with pytest.raises(
            StepOrderError, match=rf"before|first_step\(\) must come before the step of {case.cls.__name__}"
        ):
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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_sweeps_over_micro_batches_are_the_big_batch(case: Case) -> None:
    whole, parts = (Problem(torch.float64, norm=False) for _ in range(2))
    one, two = make(case, whole), make(case, parts)

    def closure() -> Any:
        one.zero_grad()
        loss = nn.functional.mse_loss(whole.model(whole.inputs), whole.targets)
        backward(loss)
        return loss

    def sweep() -> Any:
        two.zero_grad()
        losses = [parts.loss(batch) / 4 for batch in range(4)]
        for loss in losses:
            backward(loss)
        return sum(losses)

    for _ in range(4):
        one.step(closure)
        two.step(sweep)
    torch.testing.assert_close(whole.vector(), parts.vector(), rtol=1e-12, atol=1e-14)


def test_frozen_buffers_serve_where_no_model_is_given() -> None:
    problem = Problem()
    optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.1)
    problem.closure(optimizer)()
    optimizer.first_step()
    with frozen_buffers(problem.model):
        problem.closure(optimizer)()
    optimizer.second_step()
    assert problem.model[1].num_batches_tracked == 1


def test_step_hooks_fire_once_an_update() -> None:
    seen: list[str] = []
    handle = register_optimizer_step_post_hook(lambda o, *_: seen.append(type(o).__name__))
    try:
        problem = Problem()
        optimizer = make(CASES[1], problem)
        optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
        optimizer.step(problem.closure(optimizer))
    finally:
        handle.remove()
    assert seen == ["before", "SAM"]


def test_no_tensor_is_read_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Tensor) -> float:
        raise AssertionError("a value was fetched")

    for case in CASES:
        problem = Problem()
        optimizer = make(case, problem)
        closure = problem.closure(optimizer)
        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "item", refuse)
            patch.setattr(Tensor, "tolist", refuse)
            for _ in range(3):
                optimizer.step(closure)


@pytest.mark.parametrize("base", BASES)
def test_memory_is_kept_between_steps(base: str) -> None:
    problem = Problem()
    optimizer = make(CASES[1], problem, base)
    pointers = set()
    for _ in range(3):
        run(optimizer, problem, 1)
        pointers.add(optimizer._places.memory("theta", range(6)).views[0].data_ptr())
    assert len(pointers) == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_memory_beyond_the_base_is_what_is_promised(case: Case) -> None:
    problem = Problem()
    optimizer = make(case, problem)
    run(optimizer, problem, 4)
    own = [flat for memory in optimizer._places._memory.values() for flat in memory.flats]
    held = sum(x.numel() for x in [*own, *optimizer._remembered.values()])
    assert held == case.copies * problem.vector().numel()
