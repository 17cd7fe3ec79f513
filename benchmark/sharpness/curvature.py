"""Curvature from products with the Hessian alone: its largest eigenvalue and its trace, of many cells at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""The Hessian of each cell times its vector; from (cells, d) to (cells, d)."""

TOLERANCE = 1e-3
MAX_ITERATIONS = 100
N_PROBES = 64
BREAKDOWN = 1e-6  # of the largest Ritz value; a smaller remainder is rounding, and its direction means nothing


@dataclass(frozen=True, eq=False)
class Eigenvalue:
    """The largest eigenvalue of each cell.

    Attributes:
        value: (cells,), float64 on the CPU: the largest in algebraic value, not in magnitude; NaN where a product was
            not finite.
        residual: (cells,), likewise; the Hessian has an eigenvalue within it of `value`.
        n_iterations: products with the Hessian that the slowest cell took.
        has_converged: (cells,), whether the residual fell to the tolerance.
    """

    value: Tensor
    residual: Tensor
    n_iterations: int
    has_converged: Tensor


@dataclass(frozen=True, eq=False)
class Trace:
    """The trace of each cell.

    Attributes:
        value: (cells,), float64 on the CPU.
        standard_error: (cells,), of the mean over the probes; 0 where the trace is exact.
        n_probes: products with the Hessian.
    """

    value: Tensor
    standard_error: Tensor
    n_probes: int


def largest_eigenvalue(
    product: Product, start: Tensor, *, tolerance: float = TOLERANCE, max_iterations: int = MAX_ITERATIONS
) -> Eigenvalue:
    """Return the largest eigenvalue by the Lanczos method with full reorthogonalisation.

    Iterations go on until every cell has converged: until the residual of its largest Ritz pair, beta_k |s_k|, is at
    most the tolerance times the largest Ritz value by magnitude. Each keeps what it had when it did. C. Lanczos, An
    Iteration Method for the Solution of the Eigenvalue Problem of Linear Differential and Integral Operators (1950);
    the residual as in B. N. Parlett, The Symmetric Eigenvalue Problem (1980).

    Args:
        product: with the Hessian; symmetric.
        start: where to start, (cells, d), not 0; a random vector has a part along every eigenvector.
        tolerance: relative, > 0.
        max_iterations: the most products, >= 1; more than d are not taken.
    """
    n_cells, d = start.shape
    n_most = min(d, max_iterations)
    ritz_matrix = torch.zeros(n_cells, n_most, n_most, dtype=torch.float64)
    value = torch.full((n_cells,), torch.nan, dtype=torch.float64)
    residual = torch.full_like(value, torch.inf)
    has_converged = torch.zeros_like(value, dtype=torch.bool)
    direction = start / start.norm(dim=1, keepdim=True)
    basis = start.new_empty(n_cells, 0, d)
    n_iterations = 0
    while n_iterations < n_most:
        last, n_iterations = n_iterations, n_iterations + 1
        basis = torch.cat([basis, direction[:, None]], dim=1)
        remainder = product(direction)
        ritz_matrix[:, last, last] = (remainder * direction).sum(dim=1).to(ritz_matrix)
        for _ in range(2):  # once leaves rounding along the basis, twice is enough (Parlett)
            remainder = remainder - (basis.mT @ (basis @ remainder[:, :, None])).squeeze(2)
        length = remainder.norm(dim=1)
        beta = length.to(ritz_matrix)
        known = ritz_matrix[:, :n_iterations, :n_iterations]
        is_finite = known.isfinite().all(dim=(1, 2)) & beta.isfinite()
        values, vectors = torch.linalg.eigh(torch.where(is_finite[:, None, None], known, 0.0))
        scale = values.abs().amax(dim=1)
        bound = torch.where(beta > BREAKDOWN * scale, beta * vectors[:, -1, -1].abs(), 0.0)
        is_open = is_finite & ~has_converged
        value = torch.where(is_open, values[:, -1], value)
        residual = torch.where(is_open, bound, residual)
        has_converged = has_converged | (is_finite & (bound <= tolerance * scale))
        if bool((has_converged | ~is_finite).all()):
            break
        if n_iterations < n_most:
            ritz_matrix[:, last, n_iterations] = ritz_matrix[:, n_iterations, last] = beta
        direction = torch.where(length[:, None] > 0, remainder / length[:, None], 0.0)
    value = torch.where(has_converged | is_finite, value, torch.nan)
    return Eigenvalue(value, residual, n_iterations, has_converged)


def trace(product: Product, probes: Sequence[Tensor]) -> Trace:
    """Return the trace by the mean of v^T H v over probes v.

    M. F. Hutchinson, A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian Smoothing Splines
    (1990): with random signs the mean is unbiased, and the off-diagonal of H makes all of its variance. Where there are
    as many probes as parameters, or more, the unit vectors take their place, and the trace is exact.

    Args:
        product: with the Hessian.
        probes: of random signs, at least two, (cells, d) each.
    """
    n_cells, d = probes[0].shape
    if d <= len(probes):
        units = torch.eye(d, dtype=probes[0].dtype, device=probes[0].device)
        diagonal = [product(unit.expand(n_cells, d))[:, place] for place, unit in enumerate(units)]
        exact = torch.stack(diagonal).cpu().to(torch.float64).sum(dim=0)
        return Trace(exact, torch.zeros_like(exact), d)
    forms = torch.stack([(product(probe) * probe).sum(dim=1) for probe in probes]).cpu().to(torch.float64)
    n = len(probes)
    return Trace(forms.mean(dim=0), forms.std(dim=0) / n**0.5, n)
