"""Linear algebra on lists of tensors, as plain formulas; ``optimizers.foreach`` has the same as multi-tensor kernels.

A rule is written once, against :class:`Plain`. Plain operations return new tensors and write to none, so they run
under ``torch.func.vmap`` with hyperparameters that are tensors.
"""

import torch
from torch import Tensor

from optimizers.elementwise import (
    Scalar,
    Tensors,
    accumulation_dtype,
    any_narrow,
    finite,
    plus,
    product,
    reciprocal,
    stretched,
)

__all__ = ["Plain"]


class Plain:
    """The specification: functional, one tensor after the other, usable under ``torch.func.vmap``."""

    def norm(self, xs: Tensors) -> Scalar:
        """Return the Euclidean norm over all elements of all tensors, accumulated in float32 or wider."""
        dtype = accumulation_dtype(xs)
        norms = torch.stack([torch.linalg.vector_norm(x, dtype=dtype) for x in xs])
        norm: Tensor = torch.linalg.vector_norm(norms)
        return norm

    def dot(self, xs: Tensors, ys: Tensors) -> Scalar:
        """Return the inner product over all elements of all tensors, accumulated like :meth:`norm`."""
        dtype = accumulation_dtype(xs)
        return torch.stack([(x.to(dtype) * y.to(dtype)).sum() for x, y in zip(xs, ys, strict=True)]).sum()

    def finite(self, scalar: Scalar) -> Scalar:
        """Return the scalar, or 0 where it is NaN or infinite."""
        return finite(scalar)

    def reciprocal(self, scalar: Scalar) -> Scalar:
        """Return 1 / scalar, or 0 where that or the scalar is NaN or infinite."""
        return reciprocal(scalar)

    def rescaling(self, xs: Tensors, norm: Scalar) -> Scalar:
        """Return a factor that keeps products of ``xs``, whose norm is given, from under- and overflow in 16 bits.

        That is 1 / norm where one of ``xs`` is so narrow, else 1, for wider ones have the range.
        """
        return self.reciprocal(norm) if any_narrow(xs) else 1.0

    def known(self, xs: Tensors, norm: Scalar) -> Tensors:
        """Return x as it is now, however it is overwritten later, and 0 where a NaN stands for none yet.

        Args:
            xs: averages.
            norm: of what they are averages of; where it is a number, no NaN is among ``xs``.
        """
        return [torch.where(torch.isnan(x), 0, x) for x in xs]

    def magnitude(self, xs: Tensors, offset: Scalar) -> Tensors:
        """Return ``|x| + offset``, elementwise."""
        return [x.abs() + offset for x in xs]

    def stretch(self, xs: Tensors, factor: Scalar) -> Tensors:
        """Return ``sqrt(1 + factor x^2)``, elementwise, the square wide."""
        return [stretched(x, factor) for x in xs]

    def multiply_(self, xs: Tensors, ys: Tensors, factor: Scalar = 1.0) -> Tensors:
        """Return ``factor x y``, elementwise, the product wide."""
        return [(product(factor, x) * y).to(x.dtype) for x, y in zip(xs, ys, strict=True)]

    def scale_(self, xs: Tensors, factor: Scalar) -> Tensors:
        """Return ``factor x``, the product wide."""
        return [product(factor, x).to(x.dtype) for x in xs]

    def significant_(self, xs: Tensors, norm: Scalar, floor: Scalar) -> Tensors:
        """Return x, whose norm is given, or 0 where that norm is not above the floor."""
        return [torch.where(torch.as_tensor(norm) <= floor, 0, x) for x in xs]

    def divide_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """Return ``x / y``, elementwise."""
        return [x / y for x, y in zip(xs, ys, strict=True)]

    def combine_(self, a: Scalar, xs: Tensors, b: Scalar, ys: Tensors) -> Tensors:
        """Return ``a x + b y``."""
        return [a * x + b * y for x, y in zip(xs, ys, strict=True)]

    def add_(self, xs: Tensors, ys: Tensors, scale: Scalar) -> Tensors:
        """Return ``x + scale y`` where scale is not 0, else x, whatever y holds."""
        return [plus(x, y, scale) for x, y in zip(xs, ys, strict=True)]

    def average_(self, means: Tensors, xs: Tensors, decay: Scalar, norm: Scalar) -> Tensors:
        """Return ``decay mean + (1 - decay) x``, or the mean as it is where the norm of x is not finite.

        Where the mean is NaN, for none yet, return x.
        """
        finite = torch.isfinite(torch.as_tensor(norm))
        pairs = list(zip(means, xs, strict=True))
        moved = [torch.where(torch.isnan(mean), x, mean + (1 - decay) * (x - mean)) for mean, x in pairs]
        return [torch.where(finite, new, mean) for new, mean in zip(moved, means, strict=True)]
