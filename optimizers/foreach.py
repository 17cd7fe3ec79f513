"""Linear algebra on lists of tensors by ``torch._foreach_*`` kernels: the fast path of ``optimizers.algebra``.

An operation whose name ends in ``_`` may overwrite its first list. A scalar is a 0-dim tensor that stays on its device.
Where it lies in host memory anyhow, it becomes a Python number: no wait, and the few operations between two norms then
cost nothing beside those on small tensors.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from optimizers.algebra import Plain
from optimizers.elementwise import Scalar, Tensors, accumulation_dtype, any_narrow, finite, plus, product, stretched

__all__ = ["Foreach", "Scratch", "add_scaled_"]


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

    def excess(self, xs: Tensors) -> Scalar:
        """Return a scalar that is finite where all elements are; ``xs`` have one device."""
        found = torch.zeros((), dtype=torch.float32, device=xs[0].device)
        scale = torch.ones_like(found)
        try:
            for indices in _by_dtype(xs):
                # What a gradient scaler calls; a scale of 1 changes nothing.
                torch._amp_foreach_non_finite_check_and_unscale_([xs[i] for i in indices], found, scale)
        except RuntimeError:
            # It writes what it read, but not to an expanded tensor, which torch.autograd.grad gives of a sum.
            return self.norm(xs)
        return _scalar(found / (1 - found))

    def dot(self, xs: Tensors, ys: Tensors) -> Scalar:
        """See :meth:`Plain.dot`; in scratch memory where there is some."""
        if self._scratch is None or any_narrow(self._scratch.flats):
            # Products of 16-bit gradients under- and overflow in memory of their own dtype: one tensor after the other.
            return _scalar(cast(Tensor, super().dot(xs, ys)))
        views, flats, partial = self._scratch
        if partial:
            torch._foreach_zero_(flats)
        torch._foreach_copy_(views, xs)
        torch._foreach_mul_(views, ys)
        return _scalar(torch.stack([flat.sum(dtype=accumulation_dtype(xs)) for flat in flats]).sum())

    def known(self, xs: Tensors, norm: Scalar) -> Tensors:
        """See :meth:`Plain.known`; in scratch memory where there is some."""
        result = self._copied(xs)
        for x in result if isinstance(norm, Tensor) else ():
            x.nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)
        return result

    def magnitude(self, xs: Tensors, offset: Scalar) -> Tensors:
        """See :meth:`Plain.magnitude`; in scratch memory where there is some."""
        result = self._copied(xs)
        torch._foreach_abs_(result)
        torch._foreach_add_(result, cast(float, offset))
        return result

    def stretch(self, xs: Tensors, factor: Scalar) -> Tensors:
        """See :meth:`Plain.stretch`; in scratch memory where there is some."""
        result = self._copied(xs)
        if any_narrow(xs):
            for root, x in zip(result, xs, strict=True):
                root.copy_(stretched(x, factor))
            return result
        torch._foreach_mul_(result, xs)
        torch._foreach_mul_(result, cast(float, factor))
        torch._foreach_add_(result, 1)
        torch._foreach_sqrt_(result)
        return result

    def multiply_(self, xs: Tensors, ys: Tensors, factor: Scalar = 1.0) -> Tensors:
        """See :meth:`Plain.multiply_`."""
        result = self._overwritable(xs)
        if any_narrow(result):
            for x, y in zip(result, ys, strict=True):
                x.copy_(product(factor, x) * y)
            return result
        if result:
            torch._foreach_mul_(result, ys)
        return self._scaled_(result, factor)

    def scale_(self, xs: Tensors, factor: Scalar) -> Tensors:
        """See :meth:`Plain.scale_`."""
        return self._scaled_(self._overwritable(xs), factor)

    def significant_(self, xs: Tensors, norm: Scalar, floor: Scalar) -> Tensors:
        """See :meth:`Plain.significant_`."""
        result = self._overwritable(xs)
        if isinstance(norm, Tensor):
            # Not above the floor, all are finite, and 0 times them is 0.
            torch._foreach_mul_(result, cast(float, (~(norm <= floor)).to(norm.dtype)))
        elif norm <= floor:
            torch._foreach_zero_(result)
        return result

    def divide_(self, xs: Tensors, ys: Tensors) -> Tensors:
        """See :meth:`Plain.divide_`."""
        result = self._overwritable(xs)
        torch._foreach_div_(result, ys)
        return result

    def combine_(self, a: Scalar, xs: Tensors, b: Scalar, ys: Tensors) -> Tensors:
        """See :meth:`Plain.combine_`; b is a number."""
        result = self.scale_(xs, a)
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

    def _copied(self, xs: Tensors) -> Tensors:
        if self._scratch is None:
            return [x.clone() for x in xs]
        self._gather = False
        torch._foreach_copy_(self._scratch.views, xs)
        return self._scratch.views

    def _scaled_(self, xs: Tensors, factor: Scalar) -> Tensors:
        if not isinstance(factor, Tensor) and factor == 1:
            return xs
        if any_narrow(xs):
            for x in xs:
                x.copy_(product(factor, x))
        elif xs:
            torch._foreach_mul_(xs, cast(float, factor))
        return xs


def add_scaled_(xs: Tensors, ys: Tensors, scale: Scalar) -> Scalar:
    """Add ``scale y`` to each x in place, nothing where the scale is 0, without waiting for a device.

    Args:
        xs: what is added to.
        ys: one for each of ``xs``, of its shape and dtype; may be NaN where the scale is 0.
        scale: a number, or 0-dim on the device of ``xs``, float32 or wider.

    Returns:
        The scale applied: 0 where the one given is beyond the range of the dtype in which it would act.
    """
    if isinstance(scale, Tensor):
        scale = cast(Tensor, finite(scale))
        # The fused kernel takes a step size on the device in float32 alone.
        double, other = ([i for i, x in enumerate(xs) if (x.dtype == torch.float64) is is64] for is64 in (True, False))
        for i in double:
            xs[i].copy_(plus(xs[i], ys[i], scale))
        narrowed, skip = scale.to(torch.float32), (scale == 0).to(torch.float32)
        _add_by_descent_([xs[i] for i in other], [ys[i] for i in other], narrowed, skip=skip)
    elif not abs(scale) <= torch.finfo(accumulation_dtype(xs)).max:
        return 0.0
    elif scale and any_narrow(xs):
        _add_by_descent_(xs, ys, scale, skip=None)
    elif scale:
        torch._foreach_add_(xs, ys, alpha=scale)
    return scale


def _scalar(value: Tensor) -> Scalar:
    return float(value) if value.device.type == "cpu" else value


def _by_dtype(xs: Tensors) -> Iterable[Sequence[int]]:
    indices_of: dict[torch.dtype, list[int]] = {}
    for index, x in enumerate(xs):
        indices_of.setdefault(x.dtype, []).append(index)
    return indices_of.values()


def _add_by_descent_(xs: Tensors, ys: Tensors, scale: Scalar, skip: Tensor | None) -> None:
    # The fused SGD kernel is x <- x + lr y, with lr and a flag to leave x alone both on the device, no temporary, and
    # lr in no narrower precision than float32: what a perturbation needs. It takes one dtype at a time.
    for indices in _by_dtype(xs):
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
