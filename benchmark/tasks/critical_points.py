"""Critical points of smooth functions: the one nearest to a point, and its kind."""

from collections.abc import Callable

import torch
from torch import Tensor

N_ITERATIONS = 20
GRADIENT_TOLERANCE = 1e-6  # of the largest eigenvalue: what is left of the way is about that much
ZERO_EIGENVALUE = 1e-3  # of the largest: a valley of minima has one of zero, and float64 leaves less than that
FIRST_DAMPING, LEAST_DAMPING = 0.1, 1e-14

Value = Callable[[Tensor], Tensor]


def kind_of_end(value: Value, end: Tensor, *, reach: float, flat_below: float) -> dict[str, Tensor]:
    """Return at which kind of critical point a run ended, as 0 or 1 by kind; all 0 where none is near.

    A run may hover around the point where it ends, as SAM does around a minimum of curvature lambda, in a cycle of
    half-width eta lambda rho / (2 - eta lambda). So Levenberg-Marquardt steps lead from the end to where the gradient
    vanishes; what they find counts if it lies within `reach` of the end. Its kind is read from the eigenvalues of the
    Hessian there, of which those within a thousandth of the largest count as zero: all others positive is a minimum,
    flat or sharp; all negative a maximum; both signs a saddle.

    Nothing here branches on data: it works under `torch.func.vmap`.

    Args:
        value: a function of a vector (d,), twice differentiable.
        end: where the run ended, shape (d,).
        reach: how far from the end the point may lie, > 0, in units of the coordinates.
        flat_below: a minimum whose largest eigenvalue is at most this is flat, else sharp.

    Returns:
        `saddle`, `maximum`, `sharp_minimum`, `flat_minimum`: scalars in the type of `end`, at most one of them 1.
    """
    start = end.to(torch.float64)
    point, gradient, hessian = _nearest(value, start, longest_step=reach / 2)
    eigenvalues = _eigh(hessian)[0]
    largest = eigenvalues.abs().amax()
    is_near = (gradient.norm() <= GRADIENT_TOLERANCE * largest) & ((point - start).norm() <= reach)
    rises = (eigenvalues > ZERO_EIGENVALUE * largest).any()
    falls = (eigenvalues < -ZERO_EIGENVALUE * largest).any()
    is_flat = eigenvalues.amax() <= flat_below
    kinds = {
        "saddle": rises & falls,
        "maximum": falls & ~rises,
        "sharp_minimum": ~falls & ~is_flat,
        "flat_minimum": ~falls & is_flat,
    }
    return {kind: (is_near & holds).to(end.dtype) for kind, holds in kinds.items()}


def _nearest(value: Value, start: Tensor, *, longest_step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the steps from `start` lead, with gradient and Hessian there.

    A step is -(H^2 + mu I)^-1 H g, shortened so that it does not jump over the nearest point. It is taken where the
    gradient to which it leads asks for a shorter step by the same H and mu, the natural test of P. Deuflhard, Newton
    Methods for Nonlinear Problems (2004): one on the norm of the gradient creeps along valleys. Then mu falls, unless
    the step was shortened, for far from a valley a small mu leads along it; where no step is taken mu rises.
    """
    tiny = torch.finfo(start.dtype).tiny
    point = start
    gradient, hessian = _derivatives(value, point)
    damping = torch.full_like(start[0], FIRST_DAMPING)
    for _ in range(N_ITERATIONS):
        eigenvalues, vectors = _eigh(hessian)
        weights = eigenvalues / (eigenvalues.square() + damping * eigenvalues.square().amax() + tiny)
        step = vectors @ (weights * (vectors.mT @ gradient))
        length = step.norm()
        trial = point - step * (longest_step / (length + tiny)).clamp(max=1.0)
        trial_gradient, trial_hessian = _derivatives(value, trial)
        is_better = (weights * (vectors.mT @ trial_gradient)).norm() < length
        point = torch.where(is_better, trial, point)
        gradient = torch.where(is_better, trial_gradient, gradient)
        hessian = torch.where(is_better, trial_hessian, hessian)
        lower = torch.where(length <= longest_step, damping / 10, damping)
        damping = torch.where(is_better, lower, damping * 4).clamp(min=LEAST_DAMPING)
    return point, gradient, hessian


def _derivatives(value: Value, point: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradient (d,) and Hessian (d, d) at a point."""

    def gradient_twice(at: Tensor) -> tuple[Tensor, Tensor]:
        gradient = torch.func.grad(value)(at)
        return gradient, gradient

    # not jacfwd: it makes torch warn of torch.jit.script, which it uses itself
    hessian, gradient = torch.func.jacrev(gradient_twice, has_aux=True)(point)
    return gradient, hessian


def _eigh(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and vectors; a run that ended far out has a Hessian that LAPACK would refuse."""
    finite = torch.nan_to_num(hessian, nan=0.0, posinf=0.0, neginf=0.0)
    eigenvalues, vectors = torch.linalg.eigh(finite)
    return eigenvalues, vectors
