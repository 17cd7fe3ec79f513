"""Linear algebra on lists of tensors, twice: as plain formulas, and as multi-tensor kernels.

A rule is written once, against :class:`Plain`. Plain operations return new tensors and write to none, so they run
under ``torch.func.vmap`` with hyperparameters that are tensors. :class:`Foreach` computes the same by
``torch._foreach_*`` kernels; an operation whose name ends in ``_`` may then overwrite its first list.

A scalar is a 0-dim tensor that stays on its device. Where it lies in host memory anyhow, :class:`Foreach` makes it a
Python number: no wait, and the few operations between two norms then cost nothing beside those on small tensors.
"""

import math
from typing import NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

__all__ = ["Foreach", "Plain", "Scalar", "Scratch", "Tensors", "accumulation_dtype", "add_scaled_"]

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]
Scalar: TypeAlias = float | Tensor


class Scratch(NamedTuple):
    """Memory that :class:`Foreach` may overwrite.

    Attributes:
        views: one tensor like each tensor of the operands.
        flats: the contiguous memory behind the views, one tensor a dtype.
        partial: whether the flats hold more than the views.
    """

    views: Tensors
    flats: Tensors
    partial: bool


def accumulation_dtype(tensors: Tensors) -> torch.dtype:
    """Return the dtype in which sums over ``tensors`` run: float32, or float64 where one of them has it."""
    return torch.float64 if any(x.dtype == torch.float64 for x in tensors) else torch.float32


class Plain:
    """The specification: functional, one tensor after the other, usable under ``torch.func.vmap``."""

    def norm(self, xs: Tensors) -> Scalar:
        """Return the Euclidean norm over all elements of all tensors, accumulated in float32 or wider."""
        dtype = accumulation_dtype(xs)
        return torch.stack([x.to(dtype).square().sum() for x in xs]).sum().sqrt()

    def dot(self, xs: Tensors, ys: Tensors) -> Scalar:
        """Return the inner product over all elements of all tensors, accumulated like :meth:`norm`."""
        dtype = accumulation_dtype(xs)
        return torch.stack([(x.to(dtype) * y.to(dtype)).sum() for x, y in zip(xs, ys, strict=True)]).sum()

    def finite(self, scalar: Scalar) -> Scalar:
        """Return the scalar, or 0 where it is NaN or infinite."""
        return _finite(torch.as_tensor(scalar))

    def reciprocal(self, scalar: Scalar) -> Scalar:
        """Return 1 / scalar, or 0 where that or the scalar is NaN or infinite."""
        return _finite(torch.as_tensor(scalar).reciprocal())

    def copy(self, xs: Tensors) -> Tensors:
        """Return x as it is now, however it is overwritten later."""
        return xs

    def magnitude(self, xs: Tensors, offset: Scalar) -> Tensors:
        """Return ``|x| + offset``, elementwise."""
        return [x.abs() + offset for x in xs]

    def stretch(self, xs: Tensors, factor: Scalar) -> Tensors:
        """Return ``sqrt(1 + factor x^2)``, elementwise."""
        return [(1 + factor * x.square()).sqrt() for x in xs]

    def multiply_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """Return ``x y``, elementwise."""
        return [x * y for x, y in zip(xs, ys, strict=True)]

    def divide_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """Return ``x / y``, elementwise."""
        return [x / y for x, y in zip(xs, ys, strict=True)]

    def combine_(self, a: Scalar, xs: Tensors, b: Scalar, ys: Tensors) -> Tensors:
        """Return ``a x + b y``."""
        return [a * x + b * y for x, y in zip(xs, ys, strict=True)]

    def add_(self, xs: Tensors, ys: Tensors, scale: Scalar) -> Tensors:
        """Return ``x + scale y`` where scale is not 0, else x, whatever y holds."""
        scalar = torch.as_tensor(scale)
        return [_plus(x, y, scalar) for x, y in zip(xs, ys, strict=True)]

    def average_(self, means: Tensors, xs: Tensors, decay: Scalar, norm: Scalar) -> Tensors:
        """Return ``decay mean + (1 - decay) x``, or the mean as it is where the norm of x is not finite."""
        finite = torch.isfinite(torch.as_tensor(norm))
        return [torch.where(finite, mean + (1 - decay) * (x - mean), mean) for mean, x in zip(means, xs, strict=True)]


class Foreach(Plain):
    """The fast path: multi-tensor kernels.

    Args:
        scratch: memory like the operands, for intermediate results.
        overwrite: whether operands may be overwritten. Where they may not, all results are new, and only
            :meth:`average_` overwrites.
        gather: whether to take a norm in scratch memory while that is free. It pays where there are many small
            tensors on a CPU, each of which costs a kernel of its own elsewhere.
    """

    def __init__(self, scratch: Scratch | None = None, *, overwrite: bool = False, gather: bool = False) -> None:
        self._scratch = scratch
        self._overwrite = overwrite
        self._gather = gather and scratch is not None

    def norm(self, xs: Tensors) -> Scalar:
        """See :meth:`Plain.norm`."""
        if self._gather and self._scratch is not None:
            views, flats, _ = self._scratch
            torch._foreach_copy_(views, xs)
            return _scalar(cast(Tensor, torch.linalg.vector_norm(flats[0], dtype=accumulation_dtype(flats))))
        norms = cast(Tensors, torch._foreach_norm(xs, 2, accumulation_dtype(xs)))
        return _scalar(cast(Tensor, torch.linalg.vector_norm(torch.stack(norms))))

    def dot(self, xs: Tensors, ys: Tensors) -> Scalar:
        """See :meth:`Plain.dot`; in scratch memory where there is some."""
        dtype = accumulation_dtype(xs)
        if self._scratch is None or any(flat.dtype.itemsize < 4 for flat in self._scratch.flats):
            # Products of 16-bit gradients would under- and overflow in memory of their own dtype.
            left, right = (torch.cat([z.flatten() for z in zs]).to(dtype) for zs in (xs, ys))
            return _scalar(torch.dot(left, right))
        views, flats, partial = self._scratch
        if partial:
            torch._foreach_zero_(flats)
        torch._foreach_copy_(views, xs)
        torch._foreach_mul_(views, ys)
        return _scalar(torch.stack([flat.sum(dtype=dtype) for flat in flats]).sum())

    def finite(self, scalar: Scalar) -> Scalar:
        """See :meth:`Plain.finite`."""
        if isinstance(scalar, Tensor):
            return _finite(scalar)
        return scalar if math.isfinite(scalar) else 0.0

    def reciprocal(self, scalar: Scalar) -> Scalar:
        """See :meth:`Plain.reciprocal`."""
        if isinstance(scalar, Tensor):
            return _finite(scalar.reciprocal())
        return self.finite(1 / scalar) if scalar else 0.0

    def copy(self, xs: Tensors) -> Tensors:
        """See :meth:`Plain.copy`; in scratch memory where there is some."""
        if self._scratch is None:
            return [x.clone() for x in xs]
        self._gather = False
        torch._foreach_copy_(self._scratch.views, xs)
        return self._scratch.views

    def magnitude(self, xs: Tensors, offset: Scalar) -> Tensors:
        """See :meth:`Plain.magnitude`; in scratch memory where there is some."""
        result = self.copy(xs)
        torch._foreach_abs_(result)
        torch._foreach_add_(result, cast(float, offset))
        return result

    def stretch(self, xs: Tensors, factor: Scalar) -> Tensors:
        """See :meth:`Plain.stretch`; in scratch memory where there is some."""
        result = self.copy(xs)
        torch._foreach_mul_(result, xs)
        torch._foreach_mul_(result, cast(float, factor))
        torch._foreach_add_(result, 1)
        torch._foreach_sqrt_(result)
        return result

    def multiply_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """See :meth:`Plain.multiply_`."""
        result = self._overwritable(xs)
        torch._foreach_mul_(result, ys)
        return result

    def divide_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """See :meth:`Plain.divide_`."""
        result = self._overwritable(xs)
        torch._foreach_div_(result, ys)
        return result

    def combine_(self, a: Scalar, xs: Tensors, b: Scalar, ys: Tensors) -> Tensors:
        """See :meth:`Plain.combine_`; b is a number."""
        result = self._overwritable(xs)
        if isinstance(a, Tensor) or a != 1:
            torch._foreach_mul_(result, cast(float, a))
        torch._foreach_add_(result, ys, alpha=cast(float, b))
        return result

    def add_(self, xs: Tensors, ys: Tensors, scale: Scalar) -> Tensors:
        """See :meth:`Plain.add_`."""
        result = self._overwritable(xs)
        add_scaled_(result, ys, scale)
        return result

    def average_(self, means: Tensors, xs: Tensors, decay: Scalar, norm: Scalar) -> Tensors:
        """See :meth:`Plain.average_`; the means are overwritten."""
        if isinstance(norm, Tensor):
            torch._foreach_copy_(means, super().average_(means, xs, decay, norm))
        elif math.isfinite(norm):
            torch._foreach_lerp_(means, xs, cast(float, 1 - decay))
        return means

    def _overwritable(self, xs: Tensors) -> Tensors:
        return xs if self._overwrite else [x.clone() for x in xs]


def add_scaled_(xs: Tensors, ys: Tensors, scale: Scalar) -> None:
    """Add ``scale y`` to each x in place, nothing where the scale is 0, without waiting for a device.

    Args:
        xs: what is added to.
        ys: one for each of ``xs``, of its shape and dtype; may be NaN where the scale is 0.
        scale: a number, or 0-dim on the device of ``xs``, float32 or wider.
    """
    if isinstance(scale, Tensor):
        _add_by_descent_(xs, ys, scale.to(torch.float32), skip=(scale == 0).to(torch.float32))
    elif scale and any(x.dtype.itemsize < 4 for x in xs):
        _add_by_descent_(xs, ys, scale, skip=None)
    elif scale:
        torch._foreach_add_(xs, ys, alpha=scale)


def _plus(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    # In the wider dtype: a scale of 1 / ||g|| overflows float16 long before the perturbation does.
    wide = torch.promote_types(x.dtype, scale.dtype)
    return torch.where(scale == 0, x, (x.to(wide) + scale.to(wide) * y.to(wide)).to(x.dtype))


def _finite(scalar: Tensor) -> Tensor:
    return torch.nan_to_num(scalar, nan=0.0, posinf=0.0, neginf=0.0)


def _scalar(value: Tensor) -> Scalar:
    return float(value) if value.device.type == "cpu" else value


def _add_by_descent_(xs: Tensors, ys: Tensors, scale: Scalar, skip: Tensor | None) -> None:
    # The fused SGD kernel is x <- x + lr y, with lr and a flag to leave x alone both on the device, no temporary, and
    # lr in no narrower precision than float32: what a perturbation needs. It takes one dtype at a time.
    indices_of: dict[torch.dtype, list[int]] = {}
    for index, x in enumerate(xs):
        indices_of.setdefault(x.dtype, []).append(index)
    for indices in indices_of.values():
        torch._fused_sgd_(
            [xs[i] for i in indices],
            [ys[i] for i in indices],
            [],
            weight_decay=0.0,
            momentum=0.0,
            lr=cast(float, scale),
            dampening=0.0,
            nesterov=False,
            maximize=True,
            is_first_step=False,
            found_inf=skip,
        )
