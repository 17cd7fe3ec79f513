"""Arithmetic on one scalar or tensor: wide where a dtype is narrow, by selection where a value is not finite."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Scalar",
    "Tensors",
    "accumulation_dtype",
    "any_narrow",
    "finite",
    "plus",
    "product",
    "reciprocal",
    "stretched",
]

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]
Scalar: TypeAlias = float | Tensor


def accumulation_dtype(tensors: Tensors) -> torch.dtype:
    """Return the dtype in which sums over ``tensors`` run: float32, or float64 where one of them has it."""
    return torch.float64 if any(x.dtype == torch.float64 for x in tensors) else torch.float32


def any_narrow(tensors: Tensors) -> bool:
    """Return whether one of ``tensors`` has 16 bits, too few for the range of products and squares."""
    return any(x.dtype.itemsize < 4 for x in tensors)


def finite(scalar: Scalar) -> Scalar:
    """Return the scalar, or 0 where it is NaN or infinite."""
    if isinstance(scalar, Tensor):
        return torch.nan_to_num(scalar, nan=0.0, posinf=0.0, neginf=0.0)
    return scalar if math.isfinite(scalar) else 0.0


def reciprocal(scalar: Scalar) -> Scalar:
    """Return 1 / scalar, or 0 where that or the scalar is NaN or infinite."""
    if isinstance(scalar, Tensor):
        return finite(scalar.reciprocal())
    return finite(1 / scalar) if scalar else 0.0


def product(scale: Scalar, x: Tensor) -> Tensor:
    """Return ``scale x``, wide: a scale of 1 / ||g|| overflows float16 long before the perturbation does."""
    if isinstance(scale, Tensor):
        wide = torch.promote_types(x.dtype, scale.dtype)
        return scale.to(wide) * x.to(wide)
    return scale * x.to(accumulation_dtype([x]))


def plus(x: Tensor, y: Tensor, scale: Scalar) -> Tensor:
    """Return ``x + scale y`` where scale is not 0, else x; the sum wide."""
    return torch.where(torch.as_tensor(scale) == 0, x, (x + product(scale, y)).to(x.dtype))


def stretched(x: Tensor, factor: Scalar) -> Tensor:
    """Return ``sqrt(1 + factor x^2)``; the square wide."""
    return (1 + product(factor, x) * x).sqrt().to(x.dtype)
