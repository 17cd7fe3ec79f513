"""One optimizer in two: groups, state, checkpoints, copies, schedulers."""

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from optimizers import MSAM, SAM, FriendlySAM, HyperparameterError
from tests.optimizers.cases import BASES, CASES, PERTURBING, Case, Problem, make, run


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_resumed_is_uninterrupted(case: Case, base: str) -> None:
    warmed: dict[str, Any] = {} if case.name == "gd" else {"rho_warmup": 0.5, "total_steps": 10}
    whole = Problem()
    whole_optimizer = make(case, whole, base, **warmed)
    losses = run(whole_optimizer, whole, range(10))

    before = Problem()
    optimizer = make(case, before, base, **warmed)
    run(optimizer, before, range(4))
    file = io.BytesIO()
    torch.save({"model": before.model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    after = Problem()
    after.model.load_state_dict(saved["model"])
    resumed = make(case, after, base)
    resumed.load_state_dict(saved["optimizer"])

    assert run(resumed, after, range(4, 10)) == losses[4:]
    assert torch.equal(after.vector(), whole.vector())
    assert resumed.gradient_evaluations == whole_optimizer.gradient_evaluations


def pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))  # noqa: S301  # our own bytes


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("base", ["sgd", "adamw"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_copy_goes_on_alike_and_apart(case: Case, base: str, copied: Any) -> None:
    problem = Problem()
    optimizer = make(case, problem, base)
    run(optimizer, problem, 4)
    twin_problem, twin = copied((problem, optimizer))
    assert twin.base_optimizer is not optimizer.base_optimizer
    assert twin.base_optimizer.param_groups is twin.param_groups
    assert twin.base_optimizer.state is twin.state
    assert run(twin, twin_problem, range(4, 9)) == run(optimizer, problem, range(4, 9))
    assert torch.equal(twin_problem.vector(), problem.vector())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_loading_does_not_alias_and_state_is_shared(case: Case) -> None:
    problem = Problem()
    optimizer = make(case, problem)
    run(optimizer, problem, 2)
    other = make(case, Problem())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.base_optimizer.state is other.state
    assert other.base_optimizer.param_groups is other.param_groups
    for state in optimizer.state_dict()["state"].values():
        assert "momentum_buffer" in state


def test_state_of_a_rule_stays_out_of_the_bases_sight() -> None:
    """Adam takes a state that is not empty for one of its own making."""
    problem = Problem()
    optimizer = make(next(case for case in CASES if case.name == "friendly_sam"), problem, "adam")
    optimizer.step(problem.closure(optimizer))
    assert all("gradient_average" not in state for state in optimizer.state.values())
    assert all("gradient_average" in state for state in optimizer.state_dict()["state"].values())


def test_a_checkpoint_of_the_base_alone_is_a_start() -> None:
    problem = Problem()
    plain = torch.optim.SGD(problem.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        plain.step(problem.closure(plain))
    optimizer = MSAM(problem.parameters(), torch.optim.SGD, lr=0.7, rho=0.2)
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert optimizer.param_groups[0]["rho"] == 0.2
    optimizer.step(problem.closure(optimizer))


def test_state_dict_hooks_see_the_rules_state() -> None:
    problem = Problem()
    optimizer = FriendlySAM(problem.parameters(), torch.optim.SGD, lr=0.1)
    optimizer.step(problem.closure(optimizer))
    seen: list[Any] = []
    optimizer.register_state_dict_post_hook(lambda _, state: seen.append(state["state"][0]))
    optimizer.state_dict()
    assert "gradient_average" in seen[0]


class TestGroups:
    def test_own_rho_and_lr(self) -> None:
        problem = Problem(torch.float64)
        head, tail = problem.parameters()[:2], problem.parameters()[2:]
        optimizer = SAM([{"params": head, "rho": 0.3}, {"params": tail, "lr": 0.0}], torch.optim.SGD, rho=0.1, lr=0.1)
        start = problem.vector()
        problem.closure(optimizer)()
        gradient = torch.cat([p.grad.flatten() for p in problem.parameters() if p.grad is not None])
        optimizer.first_step()
        n = sum(p.numel() for p in head)
        delta = gradient / gradient.norm() * torch.cat([torch.full((n,), 0.3), torch.full((len(start) - n,), 0.1)])
        torch.testing.assert_close(problem.vector() - start, delta)
        torch.testing.assert_close(optimizer.delta_norm, delta.norm())
        problem.closure(optimizer)()
        optimizer.second_step()
        assert torch.equal(problem.vector()[n:], start[n:])
        assert not torch.equal(problem.vector()[:n], start[:n])

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_split_is_whole(self, case: Case) -> None:
        """Norms and projections are over all groups."""
        one, two = Problem(torch.float64), Problem(torch.float64)
        whole = make(case, one)
        cls, arguments = BASES["sgd"]
        groups = [{"params": two.parameters()[:3]}, {"params": two.parameters()[3:]}]
        split = case.cls(groups, cls, model=two.model, **case.hyperparameters, **arguments)
        run(whole, one, 5)
        run(split, two, 5)
        torch.testing.assert_close(two.vector(), one.vector(), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_add_param_group(self, case: Case) -> None:
        problem = Problem()
        cls, arguments = BASES["sgd"]
        optimizer = case.cls(problem.parameters()[:2], cls, **case.hyperparameters, **arguments)
        run(optimizer, problem, 3)
        late = problem.parameters()[2:]
        optimizer.add_param_group({"params": late, "lr": 0.5} if case.name == "gd" else {"params": late, "rho": 0.01})
        evaluations = optimizer.gradient_evaluations
        before = problem.vector()
        run(optimizer, problem, 3)
        assert optimizer.gradient_evaluations > evaluations
        assert optimizer.param_groups is optimizer.base_optimizer.param_groups
        assert bool((problem.vector() != before)[-1])
        optimizer.load_state_dict(optimizer.state_dict())

    def test_a_group_out_of_range_is_refused(self) -> None:
        p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        optimizer = SAM([p], torch.optim.SGD, lr=0.1)
        with pytest.raises(HyperparameterError, match=r"0 <= rho < inf must hold .* got rho=nan"):
            optimizer.add_param_group({"params": [q], "rho": math.nan})
        assert len(optimizer.param_groups) == 1

    def test_what_enters_a_projection_is_common(self) -> None:
        p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        groups: list[dict[str, Any]] = [{"params": [p]}, {"params": [q], "decay": 0.5}]
        with pytest.raises(
            HyperparameterError, match=r"decay must be the same in every parameter group.*0\.9 and 0\.5"
        ):
            FriendlySAM(groups, torch.optim.SGD, lr=0.1)


class TestWarmUp:
    @pytest.mark.parametrize("case", [case for case in PERTURBING if case.name in ("sam", "friendly_sam")], ids=str)
    def test_radius_grows(self, case: Case) -> None:
        problem = Problem()
        optimizer = make(case, problem, rho=0.4, rho_warmup=0.5, total_steps=8)
        radii = []
        for batch in range(8):
            optimizer.step(problem.closure(optimizer, batch))
            radii.append(float(optimizer.delta_norm))
        assert radii == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4])

    def test_needs_the_length_of_the_run(self) -> None:
        with pytest.raises(HyperparameterError, match=r"total_steps must be given with it, but got rho_warmup=0\.3"):
            make(CASES[1], Problem(), rho_warmup=0.3)
        with pytest.raises(HyperparameterError, match="1 <= total_steps < inf"):
            make(CASES[1], Problem(), rho_warmup=0.3, total_steps=0)


class TestSchedulers:
    @pytest.mark.parametrize("half_steps", [False, True])
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_without_a_warning(self, case: Case, half_steps: bool) -> None:
        problem = Problem()
        optimizer = make(case, problem, lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for batch in range(3):
            closure = problem.closure(optimizer, batch)
            if half_steps:
                if optimizer.needs_first_gradient:
                    closure()
                optimizer.first_step()
                closure()
                optimizer.second_step()
            else:
                optimizer.step(closure)
            scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)
        assert optimizer.base_optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)

    def test_one_cycle_moves_the_momentum_too(self) -> None:
        problem = Problem()
        optimizer = make(CASES[1], problem)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=4)
        for batch in range(3):
            optimizer.step(problem.closure(optimizer, batch))
            scheduler.step()
        assert optimizer.base_optimizer.param_groups[0]["momentum"] != 0.9
