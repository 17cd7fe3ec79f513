"""The update itself: passes, restoration, accumulation, hooks, what it fetches and keeps."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from optimizers import SAM, frozen_buffers
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


def test_the_loss_at_theta_is_returned_even_where_it_is_none() -> None:
    p = nn.Parameter(torch.ones(1))
    losses = iter([None, 1.0])

    def closure() -> Any:
        p.grad = torch.ones(1)
        return next(losses)

    assert SAM([p], torch.optim.SGD, lr=0.1).step(closure) is None


def test_radii_of_groups_act_in_their_own_dtype() -> None:
    narrow, wide = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = SAM([{"params": [narrow], "rho": 0.05}, {"params": [wide], "rho": 0.1}], torch.optim.SGD, lr=0.1)
    narrow.grad, wide.grad = torch.full_like(narrow, 1e-42), torch.full_like(wide, 1e-42)
    optimizer.first_step()
    assert narrow.item() == 1.0
    assert wide.item() > 1.0


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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_host_reads_norms_and_projections_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[torch.Size] = []
    as_number = Tensor.__float__

    def seen(tensor: Tensor) -> float:
        read.append(tensor.shape)
        return as_number(tensor)

    def refuse(_: Tensor) -> Any:
        raise AssertionError("a value was fetched")

    problem = Problem(norm=False)
    optimizer = make(case, problem)
    run(optimizer, problem, 3)
    for name in ("item", "tolist", "__int__", "__bool__"):
        monkeypatch.setattr(Tensor, name, refuse)
    monkeypatch.setattr(Tensor, "__float__", seen)
    optimizer.step(problem.closure(optimizer))
    monkeypatch.undo()
    assert set(read) == {torch.Size()}
    assert len(read) <= 6 < len(problem.parameters()) * 2


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
