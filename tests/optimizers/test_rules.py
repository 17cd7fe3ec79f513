"""Closed forms against the general solution, invariants of every perturbation, and many cells at once."""

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from optimizers import rules
from optimizers.algebra import Plain
from optimizers.elementwise import Scalar, Tensors
from optimizers.foreach import Foreach
from optimizers.rules import Ascent

double = partial(torch.tensor, dtype=torch.float64)
vectors = st.lists(st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-6), min_size=2, max_size=6)
radii = st.floats(1e-3, 10)


def delta_of(ascent: Ascent, rho: Scalar) -> Tensor:
    return torch.cat([d.flatten() for d in rules.perturbation(ascent, rho)])


def worst_in_ball(metric: Tensor, g: Tensor, rho: float) -> Tensor:
    """Maximise g . d over d^T G d <= rho^2 for an explicit metric, by its Cholesky factor."""
    factor = torch.linalg.cholesky(metric)
    direction = torch.linalg.solve_triangular(factor, g[:, None], upper=False)[:, 0]
    y = rho * direction / direction.norm()
    worst: Tensor = torch.linalg.solve_triangular(factor.T, y[:, None], upper=True)[:, 0]
    return worst


WEIGHTS = double([0.5, -2.0, 0.1])
G = double([0.3, -0.2, 0.7])
CLOSED_FORMS: dict[str, tuple[Callable[[Tensor], Ascent], Callable[[Tensor], Tensor]]] = {
    "sam": (lambda g: rules.sam([g]), lambda g: torch.eye(len(g), dtype=g.dtype)),
    "msam": (lambda g: rules.msam([g]), lambda g: torch.eye(len(g), dtype=g.dtype) + torch.outer(g, g)),
    "asam": (
        lambda g: rules.asam([g], [WEIGHTS], [True], eta=0.01),
        lambda g: torch.diag((WEIGHTS.abs() + 0.01) ** -2),
    ),
    "fisher_sam": (lambda g: rules.fisher_sam([g], eta=0.7), lambda g: torch.diag(1 + 0.7 * g**2)),
}


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form_is_the_worst_point_of_its_ball(name: str, size: float) -> None:
    rule, metric = CLOSED_FORMS[name]
    g = G * size
    delta = delta_of(rule(g), 0.3)
    torch.testing.assert_close(delta, worst_in_ball(metric(g), g, 0.3), rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(delta @ metric(g) @ delta, double(0.09))


@given(vectors, radii)
def test_monge_invariants(values: list[float], rho: float) -> None:
    g = double(values)
    if not g.any():
        return
    norm = float(g.norm())
    delta = delta_of(rules.msam([g]), rho)
    assert float(delta.square().sum() + (g @ delta) ** 2) == pytest.approx(rho**2, rel=1e-9)
    assert float(delta.norm()) == pytest.approx(rho / math.sqrt(1 + norm**2), rel=1e-9)
    assert float(g @ delta) == pytest.approx(rho * norm / math.sqrt(1 + norm**2), rel=1e-9)
    assert float(g @ delta) <= rho * (1 + 1e-12)
    along_sam = delta_of(rules.sam([g]), rho)
    assert float(delta @ along_sam) == pytest.approx(float(delta.norm() * along_sam.norm()), rel=1e-9)


@settings(max_examples=30)
@given(vectors, radii, st.integers(0, 2**32 - 1))
def test_no_feasible_direction_beats_monge(values: list[float], rho: float, seed: int) -> None:
    g = double(values)
    metric = torch.eye(len(g), dtype=g.dtype) + torch.outer(g, g)
    others = torch.randn(64, len(g), dtype=g.dtype, generator=torch.Generator().manual_seed(seed))
    lengths = torch.einsum("ki,ij,kj->k", others, metric, others).sqrt()
    gains = (others * (rho / lengths)[:, None]) @ g
    assert float(gains.max()) <= float(g @ delta_of(rules.msam([g]), rho)) * (1 + 1e-9) + 1e-12


@given(vectors, radii)
def test_sam_and_usam_lengths(values: list[float], rho: float) -> None:
    g = double(values)
    if g.any():
        assert float(delta_of(rules.sam([g]), rho).norm()) == pytest.approx(rho, rel=1e-9)
    torch.testing.assert_close(delta_of(rules.usam([g]), rho), rho * g)


def test_limits_of_monge() -> None:
    small, large = 1e-6 * G, 1e6 * G
    torch.testing.assert_close(delta_of(rules.msam([small]), 0.1), delta_of(rules.sam([small]), 0.1))
    assert float(delta_of(rules.msam([large]), 0.1).norm()) == pytest.approx(0.1 / float(large.norm()))


def test_fisher_and_asam_meet_sam() -> None:
    torch.testing.assert_close(delta_of(rules.fisher_sam([G], eta=0.0), 0.1), delta_of(rules.sam([G]), 0.1))
    torch.testing.assert_close(delta_of(rules.asam([G], [WEIGHTS], [False]), 0.1), delta_of(rules.sam([G]), 0.1))


def test_asam_stretches_weights_and_not_biases() -> None:
    gradients, parameters = [double([[3.0, 4.0]]), double([2.0])], [double([[0.5, -2.0]]), double([10.0])]
    t = double([0.6, 2.1, 1.0])
    g = double([3.0, 4.0, 2.0])
    expected = 0.5 * t**2 * g / (t * g).norm()
    torch.testing.assert_close(delta_of(rules.asam(gradients, parameters, [True, False], eta=0.1), 0.5), expected)


def test_friendly_uses_the_average_before_its_update() -> None:
    first, average = rules.friendly_sam([G], None, sigma=0.9, decay=0.7)
    torch.testing.assert_close(delta_of(first, 0.1), delta_of(rules.sam([G]), 0.1))
    assert torch.equal(average[0], G)
    second, average = rules.friendly_sam([WEIGHTS], average, sigma=0.9, decay=0.7)
    d = WEIGHTS - 0.9 * G
    torch.testing.assert_close(delta_of(second, 0.1), 0.1 * d / d.norm())
    torch.testing.assert_close(average[0], 0.7 * G + 0.3 * WEIGHTS)


def test_friendly_average_survives_what_is_not_finite() -> None:
    ascent, average = rules.friendly_sam([double([1.0, math.nan])], [double([0.5, 0.5])])
    assert average[0].tolist() == [0.5, 0.5]
    assert delta_of(ascent, 0.1).tolist() == [0.0, 0.0]


def test_momentum_sam_goes_against_the_velocity() -> None:
    torch.testing.assert_close(delta_of(rules.momentum_sam([G]), 3.0), -3 * G / G.norm())


def test_gsam_takes_out_the_orthogonal_part_globally() -> None:
    g, perturbed = torch.cat([G, WEIGHTS]), torch.cat([WEIGHTS, 2 * G])
    orthogonal = g - (g @ perturbed) / (perturbed @ perturbed) * perturbed
    result = torch.cat(list(rules.gsam_gradient([WEIGHTS, 2 * G], [G, WEIGHTS], alpha=0.3)))
    torch.testing.assert_close(result, perturbed - 0.3 * orthogonal)
    assert abs(float(orthogonal @ perturbed)) < 1e-12


def test_look_sam_projects_globally() -> None:
    g, perturbed = torch.cat([G, WEIGHTS]), torch.cat([WEIGHTS, 2 * G])
    component = torch.cat(list(rules.look_sam_component([G, WEIGHTS], [WEIGHTS, 2 * G])))
    torch.testing.assert_close(component, perturbed - (g @ perturbed) / (g @ g) * g)
    assert abs(float(component @ g)) < 1e-12
    reused = torch.cat(list(rules.look_sam_gradient([G, WEIGHTS], [component[:3], component[3:]], alpha=0.7)))
    torch.testing.assert_close(reused, g + 0.7 * g.norm() / component.norm() * component)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("ops", [Plain(), Foreach()], ids=["plain", "foreach"])
def test_look_sam_takes_rounding_for_nothing(ops: Plain, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    g = [torch.randn(shape, generator=generator).to(dtype) for shape in ((40, 7), (33,))]
    parallel = [x * 0.3 for x in g]
    assert all(not component.any() for component in rules.look_sam_component(g, parallel, ops=ops))
    aside = [x + 0.1 * torch.randn(x.shape, generator=generator).to(dtype) for x in g]
    assert all(component.any() for component in rules.look_sam_component(g, aside, ops=ops))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("ops", [Plain(), Foreach()], ids=["plain", "foreach"])
def test_gsam_leaves_out_a_first_gradient_that_is_not_finite(ops: Plain, value: float) -> None:
    result = rules.gsam_gradient([G], [double([value, 1.0, 0.0])], alpha=0.4, ops=ops)
    assert torch.equal(result[0], G)


def test_friendly_average_begins_at_a_finite_gradient() -> None:
    _, average = rules.friendly_sam([double([1.0, math.nan])], None)
    ascent, average = rules.friendly_sam([double([3.0, 4.0])], average)
    torch.testing.assert_close(delta_of(ascent, 1.0), double([0.6, 0.8]))
    assert average[0].tolist() == [3.0, 4.0]


ASCENTS: dict[str, Callable[[Tensors], Ascent]] = {
    "sam": rules.sam,
    "usam": rules.usam,
    "msam": rules.msam,
    "asam": lambda g: rules.asam(g, [torch.ones_like(x) for x in g], [True] * len(g)),
    "fisher_sam": rules.fisher_sam,
    "friendly_sam": lambda g: rules.friendly_sam(g, [torch.zeros_like(x) for x in g])[0],
    "momentum_sam": rules.momentum_sam,
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ASCENTS)
def test_no_perturbation_where_there_is_no_direction(name: str, value: float, dtype: torch.dtype) -> None:
    gradients = [torch.full((3,), value, dtype=dtype), torch.zeros(2, dtype=dtype)]
    for delta in rules.perturbation(ASCENTS[name](gradients), 0.1):
        assert delta.abs().max() == 0


@pytest.mark.parametrize("name", ASCENTS)
def test_float16_does_not_underflow(name: str) -> None:
    # The 1e-12 that implementations add to the norm is 0 in float16, and so are squares of 1e-4.
    deltas = rules.perturbation(ASCENTS[name]([torch.full((4,), 1e-4, dtype=torch.float16)]), 0.1)
    assert bool(torch.isfinite(deltas[0]).all())
    assert float(deltas[0].float().norm()) == pytest.approx(1e-5 * 2 if name == "usam" else 0.1, rel=2e-2)


def test_rho_zero_is_exactly_nothing() -> None:
    for rule in ASCENTS.values():
        assert all(not delta.any() for delta in rules.perturbation(rule([G, WEIGHTS]), 0.0))


class TestCells:
    """Under vmap, with a leading dimension of cells and hyperparameters that differ between them."""

    n = 5
    rho = torch.linspace(0, 1, 5, dtype=torch.float64)
    share = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)

    @staticmethod
    def batch(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        tensors = [torch.randn(5, *s, generator=generator, dtype=torch.float64) for s in ((3, 4), (5,), ())]
        tensors[0][1] = math.nan
        return tensors

    FUNCTIONS: ClassVar[dict[str, Callable[[Tensors, Tensors, Tensors, Tensor, Tensor], object]]] = {
        "sam": lambda x, y, z, r, s: rules.perturbation(rules.sam(x), r),
        "usam": lambda x, y, z, r, s: rules.perturbation(rules.usam(x), r),
        "msam": lambda x, y, z, r, s: rules.perturbation(rules.msam(x), r),
        "asam": lambda x, y, z, r, s: rules.perturbation(rules.asam(x, y, [True, False, True], eta=s), r),
        "fisher_sam": lambda x, y, z, r, s: rules.perturbation(rules.fisher_sam(x, eta=s), r),
        "friendly_sam": lambda x, y, z, r, s: rules.perturbation(rules.friendly_sam(x, y, sigma=r, decay=s)[0], r),
        "friendly average": lambda x, y, z, r, s: rules.friendly_sam(x, y, sigma=r, decay=s)[1],
        "momentum_sam": lambda x, y, z, r, s: rules.perturbation(rules.momentum_sam(x), r),
        "gsam": lambda x, y, z, r, s: rules.gsam_gradient(x, y, alpha=s),
        "look_sam component": lambda x, y, z, r, s: rules.look_sam_component(x, y),
        "look_sam": lambda x, y, z, r, s: rules.look_sam_gradient(x, y, alpha=s),
        "friendly begun": lambda x, y, z, r, s: rules.friendly_sam(y, rules.friendly_sam(x, None)[1], decay=s)[1],
        "gsam, first not finite": lambda x, y, z, r, s: rules.gsam_gradient([t.nan_to_num() for t in y], x, alpha=s),
        "look_sam parallel": lambda x, y, z, r, s: rules.look_sam_component(x, [r * t for t in x]),
        "warm-up": lambda x, y, z, r, s: rules.warmed_up(r, 3, rho_warmup=s - 0.1, total_steps=10),
        "diagnostics": lambda x, y, z, r, s: rules.msam(x)[1:],
    }

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_all_at_once_is_one_after_another(self, name: str) -> None:
        function = self.FUNCTIONS[name]
        lists = [self.batch(seed) for seed in range(3)]
        together = vmap(function)(lists[0], lists[1], lists[2], self.rho, self.share)
        for cell in range(self.n):
            x, y, z = ([tensor[cell] for tensor in tensors] for tensors in lists)
            alone = function(x, y, z, self.rho[cell], self.share[cell])
            mine = tree_map(lambda batched, cell=cell: batched[cell], together)
            torch.testing.assert_close(mine, alone, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize(
    ("step", "share", "expected"),
    [
        (0, 0.0, 0.4),
        (0, 0.5, 0.08),
        (1, 0.5, 0.16),
        (4, 0.5, 0.4),
        (9, 0.5, 0.4),
        (0, 1.0, 0.04),
        (9, 1.0, 0.4),
        (0, 0.01, 0.4),
    ],
)
def test_warm_up_grows_linearly_over_its_share(step: int, share: float, expected: float) -> None:
    assert rules.warmed_up(0.4, step, rho_warmup=share, total_steps=10) == pytest.approx(expected)


def test_no_warm_up_needs_no_length() -> None:
    assert rules.warmed_up(0.4, 3, rho_warmup=0.0, total_steps=None) == 0.4


def test_warm_up_of_cells_is_that_of_each() -> None:
    rho, shares = double([0.1, 0.2, 0.3, 0.4]), double([0.0, 0.25, 0.5, 1.0])
    for step in (0, 3, 9):
        together = vmap(lambda r, s, step=step: rules.warmed_up(r, step, rho_warmup=s, total_steps=10))(rho, shares)
        alone = [
            rules.warmed_up(r, step, rho_warmup=s, total_steps=10)
            for r, s in zip(rho.tolist(), shares.tolist(), strict=True)
        ]
        torch.testing.assert_close(together, double(alone), rtol=1e-15, atol=0)
    assert rules.warmed_up(rho, 3, rho_warmup=shares, total_steps=None) is rho
