"""Largest eigenvalue and trace against full Hessians, and against matrices whose answers are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmark.sharpness import largest_eigenvalue, trace
from tests.benchmark.sharpness.networks import around, hessian, relu_network

SEEDS = (0, 1, 2, 3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(n: int, *shape: int) -> list[Tensor]:
    return list(normal(n, *shape, seed=5).sign())


def symmetric(*eigenvalues: float, seed: int = 7) -> Tensor:
    q, _ = torch.linalg.qr(normal(len(eigenvalues), len(eigenvalues), seed=seed))
    matrix: Tensor = q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q.mT
    return matrix


def product_with(*matrices: Tensor) -> Callable[[Tensor], Tensor]:
    stacked = torch.stack(matrices)
    return lambda vectors: (stacked @ vectors[:, :, None]).squeeze(2)


def test_products_are_those_of_the_full_hessian() -> None:
    points = [relu_network(seed) for seed in SEEDS]
    vectors = normal(len(SEEDS), 32)
    expected = torch.stack([hessian(point) @ vector for point, vector in zip(points, vectors, strict=True)])
    torch.testing.assert_close(around(*points).product(vectors), expected, rtol=1e-12, atol=1e-14)


def test_the_largest_eigenvalue_is_that_of_the_full_hessian() -> None:
    points = [relu_network(seed) for seed in SEEDS]
    found = largest_eigenvalue(around(*points).product, normal(len(SEEDS), 32))
    spectra = torch.stack([torch.linalg.eigvalsh(hessian(point)) for point in points])
    assert found.has_converged.all()
    assert found.n_iterations < 32
    # the residual bounds the distance to some eigenvalue; the error of the value is of its square
    assert (found.residual <= 1e-3 * spectra.abs().amax(dim=1)).all()
    assert ((spectra - found.value[:, None]).abs().amin(dim=1) <= found.residual).all()
    torch.testing.assert_close(found.value, spectra[:, -1], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "eigenvalues",
    [(3.0, 1.0, 0.5, 0.0), (-1.0, -2.0, -3.0), (1.0, -50.0, 0.1), (2.0, 2.0, 2.0), (0.0, 0.0), (5.0,), (-5.0,)],
)
def test_it_is_the_largest_in_value_and_not_in_magnitude(eigenvalues: tuple[float, ...]) -> None:
    found = largest_eigenvalue(product_with(symmetric(*eigenvalues)), normal(1, len(eigenvalues)), tolerance=1e-9)
    assert found.has_converged.all()
    assert found.value.item() == pytest.approx(max(eigenvalues), rel=1e-9, abs=1e-12)


def test_cells_do_not_wait_for_nor_disturb_each_other() -> None:
    matrices = [symmetric(*range(1, 13)), symmetric(*[4.0] * 12), symmetric(*range(-12, 0), seed=8)]
    starts = normal(3, 12)
    together = largest_eigenvalue(product_with(*matrices), starts, tolerance=1e-10)
    alone = [
        largest_eigenvalue(product_with(m), s[None], tolerance=1e-10) for m, s in zip(matrices, starts, strict=True)
    ]
    assert together.value.tolist() == pytest.approx([one.value.item() for one in alone], rel=1e-12)
    assert [one.n_iterations for one in alone][1] == 1
    assert together.n_iterations == max(one.n_iterations for one in alone)


def test_it_says_when_it_has_not_converged() -> None:
    found = largest_eigenvalue(product_with(symmetric(*range(50))), normal(1, 50), tolerance=1e-9, max_iterations=3)
    assert found.n_iterations == 3
    assert not found.has_converged.any()
    assert found.residual.item() > 0.1
    assert 0 < found.value.item() < 49


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_a_product_that_is_not_finite_is_told_and_stays_alone(fault: float) -> None:
    matrices = [symmetric(1.0, 2.0, 3.0), torch.full((3, 3), fault, dtype=torch.float64)]
    found = largest_eigenvalue(product_with(*matrices), normal(2, 3))
    assert found.has_converged.tolist() == [True, False]
    assert found.value[0].item() == pytest.approx(3.0)
    assert math.isnan(found.value[1].item())


def test_the_trace_is_exact_with_as_many_probes_as_parameters() -> None:
    points = [relu_network(seed) for seed in SEEDS]
    found = trace(around(*points).product, signs(32, len(SEEDS), 32))
    expected = torch.stack([hessian(point).trace() for point in points])
    torch.testing.assert_close(found.value, expected, rtol=1e-12, atol=1e-14)
    assert found.standard_error.tolist() == [0.0] * len(SEEDS)
    assert found.n_probes == 32


def test_the_standard_error_is_the_spread_of_the_estimate() -> None:
    """v^T H v has variance 2 (||H||^2 - sum of squares of the diagonal): 2,000 estimates spread as they say."""
    matrix = symmetric(*(value / 4 for value in range(-8, 12)))
    n, n_cells = 16, 2_000
    found = trace(product_with(matrix), signs(n, n_cells, 20))
    exact = math.sqrt(2 * float(matrix.square().sum() - matrix.diagonal().square().sum()) / n)
    assert found.value.std().item() == pytest.approx(exact, rel=0.06)
    assert found.standard_error.square().mean().sqrt().item() == pytest.approx(exact, rel=0.06)
    assert abs(found.value.mean().item() - matrix.trace().item()) < 4 * exact / math.sqrt(n_cells)


def test_a_diagonal_needs_one_probe() -> None:
    diagonal = torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64))
    found = trace(product_with(diagonal), signs(2, 1, 8))
    assert (found.value.item(), found.standard_error.item(), found.n_probes) == (36.0, 0.0, 2)
