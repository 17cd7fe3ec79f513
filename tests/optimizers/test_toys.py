"""Small landscapes whose ends are known: figures of the Monge SAM paper, saddles, traps, cycles, laws of scale."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimizers import ASAM, GD, MSAM, SAM, USAM, TwoPassOptimizer
from tests.optimizers.cases import backward

Loss = Callable[[Tensor], Tensor]


def descend(
    rule: type[TwoPassOptimizer], loss: Loss, start: list[float], steps: int, **arguments: Any
) -> tuple[Tensor, float]:
    """Run from a start and return where it ends, and the loss there."""
    theta = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = rule([{"params": [theta], "adaptive": True}], torch.optim.SGD, **arguments)

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(theta)
        backward(value)
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return theta.detach(), float(loss(theta).detach())


@pytest.mark.parametrize(
    ("rule", "end", "value"),
    [(SAM, None, 1.0), (MSAM, (-0.945, -0.941), 0.012), (GD, (-1.546, -0.647), 0.0)],
)
def test_figure_1(rule: type[TwoPassOptimizer], end: tuple[float, float] | None, value: float) -> None:
    rho = {} if rule is GD else {"rho": 1.0}
    theta, final = descend(rule, lambda t: (1 - t[0] * t[1]) ** 2, [-1.5, 0.5], 200, lr=0.01, **rho)
    assert final == pytest.approx(value, abs=6e-3)
    if end:
        assert theta.tolist() == pytest.approx(end, abs=1e-3)
    else:
        assert float(theta.norm()) < 0.1


@pytest.mark.parametrize(
    ("rule", "lr", "value"), [(SAM, 0.66, 0.3391), (SAM, 0.74, 0.7291), (MSAM, 0.66, 0.1919), (MSAM, 0.74, 0.3198)]
)
def test_figure_3(rule: type[TwoPassOptimizer], lr: float, value: float) -> None:
    _, final = descend(rule, lambda t: t[0] ** 2, [1.0], 11, lr=lr, rho=0.3)
    assert final == pytest.approx(value, abs=6e-5)


@pytest.mark.parametrize(("rho", "caught"), [(0.8, False), (1.25, True)])
def test_usam_is_caught_by_saddles_beyond_one_over_the_negative_curvature(rho: float, caught: bool) -> None:
    theta, _ = descend(USAM, lambda t: 0.5 * (t[0] ** 2 - t[1] ** 2), [0.3, 0.01], 400, lr=0.05, rho=rho)
    assert (abs(float(theta[1])) < 0.01) == caught


def monge_width(a: float, rho: float) -> float:
    return math.sqrt((math.sqrt(1 + 4 * a**2 * rho**2) - 1) / 2) / a


@pytest.mark.parametrize(("a", "rho", "width"), [(1, 0.1, 0.0995), (1, 1, 0.786), (5, 1, 0.425), (1, 10, 3.084)])
def test_trap_around_a_maximum(a: float, rho: float, width: float) -> None:
    assert monge_width(a, rho) == pytest.approx(width, abs=1e-3)
    for rule, half in ((SAM, rho), (MSAM, monge_width(a, rho))):
        for factor, inwards in ((0.99, True), (1.01, False)):
            start = factor * half
            theta, _ = descend(rule, lambda t: -0.5 * a * t[0] ** 2, [start], 1, lr=1e-4, rho=rho)
            assert (float(theta[0]) < start) == inwards


@pytest.mark.slow
@pytest.mark.parametrize(("curvature", "rho", "lr"), [(1.0, 0.1, 0.1), (2.0, 0.3, 0.66)])
def test_two_cycle_at_a_minimum(curvature: float, rho: float, lr: float) -> None:
    amplitude = lr * curvature * rho / (2 - lr * curvature)
    ends = [descend(SAM, lambda t: 0.5 * curvature * t[0] ** 2, [0.7], n, lr=lr, rho=rho)[0] for n in (400, 401)]
    assert [abs(float(end)) for end in ends] == pytest.approx([amplitude, amplitude])
    assert float(ends[0] * ends[1]) < 0


class TestLossScale:
    """l -> c l with lr -> lr / c."""

    @staticmethod
    def valley(t: Tensor) -> Tensor:
        return (t[0] ** 2 - t[1]) ** 2 + 0.1 * t[1].cosh()

    def run(self, rule: type[TwoPassOptimizer], scale: float, rho: float) -> Tensor:
        arguments = {} if rule is GD else {"rho": rho}
        return descend(rule, lambda t: scale * self.valley(t), [0.7, -0.4], 30, lr=0.05 / scale, **arguments)[0]

    @pytest.mark.parametrize("rule", [GD, SAM])
    def test_invariant_bitwise_for_powers_of_two(self, rule: type[TwoPassOptimizer]) -> None:
        assert torch.equal(self.run(rule, 1.0, 0.2), self.run(rule, 8.0, 0.2))

    def test_sam_and_asam_are_invariant_for_any_factor(self) -> None:
        for rule in (SAM, ASAM):
            torch.testing.assert_close(self.run(rule, 1.0, 0.2), self.run(rule, 3.0, 0.2))

    def test_radius_of_usam_scales(self) -> None:
        torch.testing.assert_close(self.run(USAM, 1.0, 0.2), self.run(USAM, 4.0, 0.05))

    def test_monge_is_not_invariant(self) -> None:
        assert float((self.run(MSAM, 1.0, 0.2) - self.run(MSAM, 8.0, 0.2)).norm()) > 1e-2

    def test_monge_radius_under_scale(self) -> None:
        for scale in (1.0, 7.0):
            theta = nn.Parameter(torch.tensor([0.7, -0.4], dtype=torch.float64))
            optimizer = MSAM([theta], torch.optim.SGD, rho=0.2, lr=0.0)
            backward(scale * self.valley(theta))
            optimizer.first_step()
            clean = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
            (g,) = torch.autograd.grad(self.valley(clean), [clean])
            expected = 0.2 / math.sqrt(1 + scale**2 * float(g.square().sum()))
            assert float(optimizer.delta_norm) == pytest.approx(expected)


class TestReparametrisation:
    """theta = A phi. The rules run in phi; mapped back, they agree where A^T A = I and nowhere else."""

    @staticmethod
    def loss(t: Tensor) -> Tensor:
        return (t * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)).sum().exp() + t.square().sum()

    def moved(self, rule: type[TwoPassOptimizer], a: Tensor) -> Tensor:
        phi = nn.Parameter(torch.linalg.solve(a, torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)))
        start = phi.detach().clone()
        optimizer = rule([phi], torch.optim.SGD, rho=0.3, lr=0.0)
        backward(self.loss(a @ phi))
        optimizer.first_step()
        moved: Tensor = a @ (phi.detach() - start)
        return moved

    @pytest.mark.parametrize("rule", [SAM, MSAM])
    def test_rotations_and_permutations_change_nothing(self, rule: type[TwoPassOptimizer]) -> None:
        identity = torch.eye(3, dtype=torch.float64)
        q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
        for a in (q, identity[[2, 0, 1]]):
            torch.testing.assert_close(self.moved(rule, a), self.moved(rule, identity))

    @pytest.mark.parametrize("rule", [SAM, MSAM])
    def test_stretching_does(self, rule: type[TwoPassOptimizer]) -> None:
        identity = torch.eye(3, dtype=torch.float64)
        assert float((self.moved(rule, 2 * identity) - self.moved(rule, identity)).norm()) > 5e-4

    def test_pulled_back_monge_metric_is_invariant(self) -> None:
        a = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        theta = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64, requires_grad=True)
        (g,) = torch.autograd.grad(self.loss(theta), [theta])

        def worst(metric: Tensor, gradient: Tensor) -> Tensor:
            inverse = torch.linalg.solve(metric, gradient)
            worst_point: Tensor = inverse / (gradient @ inverse).sqrt()
            return worst_point

        in_theta = worst(torch.eye(3, dtype=torch.float64) + torch.outer(g, g), g)
        pulled = a.T @ g
        in_phi = worst(a.T @ a + torch.outer(pulled, pulled), pulled)
        torch.testing.assert_close(a @ in_phi, in_theta)


class TestLayerRescaling:
    """(W1, b1) a, W2 / a leaves what a ReLU network computes."""

    @staticmethod
    def sharpness(rule: type[TwoPassOptimizer], factor: float, *, biases_too: bool = False, **arguments: Any) -> float:
        generator = torch.Generator().manual_seed(3)
        w1, b1, w2 = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((5, 3), (5,), (1, 5)))
        inputs, targets = (torch.randn(16, n, generator=generator, dtype=torch.float64) for n in (3, 1))
        own = [nn.Parameter(w1 * factor), nn.Parameter(b1 * factor), nn.Parameter(w2 / factor)]

        def loss() -> Tensor:
            hidden = torch.relu(inputs @ own[0].T + own[1])
            return nn.functional.mse_loss(hidden @ own[2].T, targets)

        groups = [{"params": own, "adaptive": True}] if biases_too else [{"params": own}]
        optimizer = rule(groups, torch.optim.SGD, rho=0.05, lr=0.0, **arguments)
        before = loss()
        backward(before)
        optimizer.first_step()
        return float((loss() - before).detach())

    def test_adaptive_sharpness_on_all_is_constant(self) -> None:
        values = [self.sharpness(ASAM, factor, biases_too=True, eta=0.0) for factor in (0.5, 1.0, 4.0)]
        assert values == pytest.approx([values[1]] * 3, rel=1e-9)

    def test_the_rule_of_the_paper_is_not(self) -> None:
        values = [self.sharpness(ASAM, factor, eta=0.0) for factor in (0.5, 1.0, 4.0)]
        assert values[0] != pytest.approx(values[1], rel=1e-3)

    def test_monge_is_not_and_stays_below_sam(self) -> None:
        monge = [self.sharpness(MSAM, factor) for factor in (0.5, 1.0, 4.0)]
        sam = [self.sharpness(SAM, factor) for factor in (0.5, 1.0, 4.0)]
        assert monge[0] != pytest.approx(monge[1], rel=1e-2)
        assert all(m <= s for m, s in zip(monge, sam, strict=True))
