"""Each member against its formula written out as one vector, over bases and dtypes, and with gradients missing."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimizers import ASAM, GSAM, SAM, FriendlySAM, HyperparameterError, LookSAM, MomentumSAM
from tests.optimizers.cases import BASES, CASES, PERTURBING, Case, Problem, backward, make, run


class Specification:
    """The rule, slowly: one vector, out of place, nothing kept but what the formula names."""

    def __init__(self, case: Case, problem: Problem, base: str) -> None:
        cls, arguments = BASES[base]
        self.case, self.problem = case, problem
        self.base = cls(problem.parameters(), **arguments)
        self.updates = 0
        self.memory: Tensor | None = None

    def gradient(self, batch: int) -> Tensor:
        self.base.zero_grad()
        backward(self.problem.loss(batch))
        return torch.cat([p.grad.flatten() for p in self.problem.parameters() if p.grad is not None])

    def gradient_at(self, delta: Tensor, batch: int) -> Tensor:
        theta = [p.detach().clone() for p in self.problem.parameters()]
        buffers = [b.clone() for b in self.problem.model.buffers()]
        with torch.no_grad():
            offset = 0
            for p in self.problem.parameters():
                p.add_(delta[offset : offset + p.numel()].view(p.shape))
                offset += p.numel()
        g = self.gradient(batch)
        with torch.no_grad():
            for p, saved in zip(self.problem.parameters(), theta, strict=True):
                p.copy_(saved)
            if self.case.passes == 2:
                for b, saved in zip(self.problem.model.buffers(), buffers, strict=True):
                    b.copy_(saved)
        return g

    def step(self, batch: int) -> None:
        h: dict[str, Any] = self.case.hyperparameters
        rho, name = h.get("rho", 0.0), self.case.name
        theta = self.problem.vector()
        if name == "momentum_sam":
            keys = ("momentum_buffer", "exp_avg")
            v = [self.base.state[p].get(k) for p in self.problem.parameters() for k in keys if k in self.base.state[p]]
            flat = torch.cat([x.flatten() for x in v]) if v else torch.zeros_like(theta)
            step = self.gradient_at(-rho * flat / flat.norm() if v else flat, batch)
        else:
            g = self.gradient(batch)
            step = self.step_from(name, g, theta, batch, h, rho)
        with torch.no_grad():
            offset = 0
            for p in self.problem.parameters():
                p.grad = step[offset : offset + p.numel()].view(p.shape).clone()
                offset += p.numel()
        self.base.step()
        self.updates += 1

    def step_from(self, name: str, g: Tensor, theta: Tensor, batch: int, h: dict[str, Any], rho: float) -> Tensor:
        n = g.norm()
        if name == "gd":
            return g
        if name == "usam":
            return self.gradient_at(rho * g, batch)
        if name == "msam":
            return self.gradient_at(rho * g / (n * (1 + n**2).sqrt()), batch)
        if name == "asam":
            weight = torch.cat([torch.full((p.numel(),), p.ndim > 1) for p in self.problem.parameters()])
            t = torch.where(weight, theta.abs() + h["eta"], 1.0)
            return self.gradient_at(rho * t**2 * g / (t * g).norm(), batch)
        if name == "fisher_sam":
            inverse = 1 / (1 + h["eta"] * g**2)
            return self.gradient_at(rho * inverse * g / (g @ (inverse * g)).sqrt(), batch)
        if name == "friendly_sam":
            d = g if self.memory is None else g - h["sigma"] * self.memory
            self.memory = g if self.memory is None else h["decay"] * self.memory + (1 - h["decay"]) * g
            return self.gradient_at(rho * d / d.norm(), batch)
        if name == "look_sam" and self.updates % h["k"]:
            assert self.memory is not None
            scaled: Tensor = h["alpha"] * n / self.memory.norm() * self.memory
            return g + scaled
        perturbed = self.gradient_at(rho * g / n, batch)
        if name == "look_sam":
            self.memory = perturbed - (g @ perturbed) / n**2 * g
        if name == "gsam":
            perturbed = perturbed - h["alpha"] * (g - (g @ perturbed) / perturbed.square().sum() * perturbed)
        return perturbed


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_eight_updates_are_the_formula(case: Case, base: str) -> None:
    fast, slow = Problem(torch.float64), Problem(torch.float64)
    optimizer, specification = make(case, fast, base), Specification(case, slow, base)
    for batch in range(8):
        optimizer.step(fast.closure(optimizer, batch))
        specification.step(batch)
        torch.testing.assert_close(fast.vector(), slow.vector(), rtol=1e-8, atol=1e-9)
    for mine, theirs in zip(fast.model.buffers(), slow.model.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_dtype_trains_near_double(case: Case, dtype: torch.dtype) -> None:
    low, high = Problem(dtype, norm=False), Problem(torch.float64, norm=False)
    losses = run(make(case, low), low, 4)
    assert all(math.isfinite(loss) for loss in losses)
    tolerance = {torch.float16: 0.05, torch.bfloat16: 0.15, torch.float32: 1e-4}[dtype]
    assert losses == pytest.approx(run(make(case, high), high, 4), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_diagnostics(case: Case) -> None:
    problem = Problem(torch.float64)
    optimizer = make(case, problem)
    assert math.isnan(float(optimizer.grad_norm))
    assert float(optimizer.delta_norm) == 0
    assert optimizer.gradient_evaluations == 0
    slow = Problem(torch.float64)
    backward(slow.loss())
    expected = torch.cat([p.grad.flatten() for p in slow.parameters() if p.grad is not None]).norm()
    optimizer.step(problem.closure(optimizer))
    assert float(optimizer.grad_norm) == pytest.approx(float(expected))
    assert not optimizer.non_finite
    assert optimizer.gradient_evaluations == case.passes
    for diagnostic in (optimizer.grad_norm, optimizer.delta_norm, optimizer.non_finite):
        assert diagnostic.shape == ()
    rho = case.hyperparameters.get("rho", 0.0)
    lengths = {
        "gd": 0.0,
        "momentum_sam": 0.0,
        "usam": rho * float(expected),
        "msam": rho / math.sqrt(1 + float(expected) ** 2),
    }
    if case.name not in ("asam", "fisher_sam"):
        assert float(optimizer.delta_norm) == pytest.approx(lengths.get(case.name, rho))
    else:
        assert float(optimizer.delta_norm) > 0


@pytest.mark.parametrize("case", PERTURBING, ids=str)
def test_rho_zero_is_the_base(case: Case) -> None:
    mine, theirs = Problem(), Problem()
    overrides: dict[str, Any] = {"rho": 0.0, "alpha": 0.0} if case.name == "gsam" else {"rho": 0.0}
    run(make(case, mine, **overrides), mine, 5)
    run(make(CASES[0], theirs), theirs, 5)
    assert torch.equal(mine.vector(), theirs.vector())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_learning_rate_zero_changes_nothing(case: Case, base: str) -> None:
    problem = Problem()
    start = problem.vector()
    pointers = [p.data_ptr() for p in problem.parameters()]
    run(make(case, problem, base, lr=0.0), problem, 5)
    assert torch.equal(problem.vector(), start)
    assert [p.data_ptr() for p in problem.parameters()] == pointers


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("absent", ["always", "first", "second", "alternating"])
def test_a_parameter_without_a_gradient(case: Case, absent: str) -> None:
    """In either pass or both: the step goes through, and theta is where it belongs."""
    problem = Problem()
    optimizer = make(case, problem, lr=0.0)
    start = problem.vector()
    bias = problem.parameters()[-1]
    passes = 0

    def closure() -> Any:
        nonlocal passes
        optimizer.zero_grad()
        loss = problem.loss()
        backward(loss)
        odd = {"always": True, "first": passes % 2 == 0, "second": passes % 2 == 1, "alternating": passes % 4 < 2}
        if odd[absent]:
            bias.grad = None
        passes += 1
        return loss

    for _ in range(6):
        optimizer.step(closure)
    assert torch.equal(problem.vector(), start)
    assert not optimizer.non_finite


def test_look_sam_counts_one_and_one_kth() -> None:
    problem = Problem()
    optimizer = make(next(case for case in CASES if case.name == "look_sam"), problem)
    queries = []
    for batch in range(7):
        queries.append(optimizer.needs_first_gradient)
        optimizer.step(problem.closure(optimizer, batch))
    assert queries == [True, False, False, True, False, False, True]
    assert optimizer.gradient_evaluations == 7 + 3
    assert problem.model[1].num_batches_tracked == 7


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_maximizing_is_minimizing_the_negative(case: Case, base: str) -> None:
    up, down = Problem(torch.float64), Problem(torch.float64)
    ascent, descent = make(case, up, base, maximize=True), make(case, down, base)

    def negative(batch: int) -> Any:
        descent.zero_grad()
        backward(-down.loss(batch))

    for batch in range(5):
        ascent.step(up.closure(ascent, batch))
        descent.step(partial(negative, batch))
    torch.testing.assert_close(up.vector(), down.vector(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rule", [GSAM, LookSAM, FriendlySAM])
def test_rules_that_keep_the_first_gradient_refuse_local_ascent(rule: type[GSAM | LookSAM | FriendlySAM]) -> None:
    problem = Problem()
    with pytest.raises(HyperparameterError, match="steps with the first gradient too, or keeps an average of it"):
        rule(problem.parameters(), torch.optim.SGD, lr=0.1, model=problem.model, ascent_sync="local")


def test_momentum_sam_needs_momentum() -> None:
    with pytest.raises(HyperparameterError, match="momentum > 0 must hold, but got momentum=0"):
        MomentumSAM(Problem().parameters(), torch.optim.SGD, lr=0.1)


class TestWeightsAndBiases:
    """What ASAM takes for a bias."""

    @staticmethod
    def stretched(groups: Any) -> list[bool]:
        optimizer = ASAM(groups, torch.optim.SGD, lr=0.0, rho=1.0, eta=0.0)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        start = [p.detach().clone() for p in parameters]
        for p in parameters:
            p.grad = torch.ones_like(p)
        optimizer.first_step()
        moves = torch.stack([(p.detach() - s).mean() for p, s in zip(parameters, start, strict=True)])
        return [bool(move > 2 * moves.min()) for move in moves]

    def test_by_dimension(self) -> None:
        own = [nn.Parameter(torch.full((2, 2), 3.0)), nn.Parameter(torch.full((2,), 3.0)), nn.Parameter(torch.ones(()))]
        assert self.stretched(own) == [True, False, False]

    def test_by_name(self) -> None:
        norm = nn.BatchNorm1d(2)
        with torch.no_grad():
            for p in norm.parameters():
                p.fill_(3.0)
        assert self.stretched(norm.named_parameters()) == [True, False]

    def test_by_group(self) -> None:
        own = [nn.Parameter(torch.full((2,), 3.0)), nn.Parameter(torch.full((2, 2), 3.0))]
        groups = [{"params": own[:1], "adaptive": True}, {"params": own[1:], "adaptive": False}]
        assert self.stretched(groups) == [True, False]


def test_friendly_average_starts_when_a_parameter_first_has_a_gradient() -> None:
    first, late = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = FriendlySAM([first, late], torch.optim.SGD, lr=0.0, rho=1.0, sigma=1.0, decay=0.5)

    def perturbed(*gradients: Tensor | None) -> list[Tensor]:
        first.grad, late.grad = gradients
        optimizer.first_step()
        moved = [p.detach() - 1 for p in (first, late)]
        optimizer.second_step()
        return moved

    perturbed(torch.tensor([1.0, 0.0]), None)
    moved = perturbed(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(torch.cat(moved), torch.tensor([0.0, 1.0, 0.0, 1.0]) / math.sqrt(2))
    kept = optimizer.state_dict()["state"]
    torch.testing.assert_close(kept[0]["gradient_average"], torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(kept[1]["gradient_average"], torch.tensor([0.0, 2.0]))


def test_sam_is_at_a_constant_radius() -> None:
    problem = Problem()
    optimizer = SAM(problem.parameters(), torch.optim.SGD, lr=0.05, rho=0.3)
    for batch in range(5):
        optimizer.step(problem.closure(optimizer, batch))
        assert float(optimizer.delta_norm) == pytest.approx(0.3)


def test_built_as_people_know_it_from_other_packages() -> None:
    optimizer = SAM(Problem().parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9)
    assert optimizer.param_groups[0]["rho"] == 0.05
    assert optimizer.param_groups[0]["momentum"] == 0.9
