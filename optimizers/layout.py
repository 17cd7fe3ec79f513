"""Where the parameters of an optimizer lie, and memory of the same shape that is kept between steps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optimizers.elementwise import Scalar, Tensors, accumulation_dtype
from optimizers.errors import ParameterError
from optimizers.foreach import Foreach, Scratch

__all__ = ["Active", "Layout", "check_parameters"]


SMALL = 2**18
"""Elements up to which copying all tensors together costs less than one kernel for each: they fit into a cache."""


class Active(NamedTuple):
    """The parameters that take part in a half step, in order.

    Attributes:
        indices: their places among all parameters.
        parameters: the tensors themselves.
        gradients: one for each; empty where a rule perturbs before any gradient is known.
    """

    indices: Sequence[int]
    parameters: Tensors
    gradients: Tensors


def check_parameters(parameters: Sequence[Tensor], device: torch.device) -> None:
    """Refuse tensors that cannot be perturbed together.

    Args:
        parameters: what is about to be optimized.
        device: where all of them have to be.

    Raises:
        ParameterError: one is complex, sparse, of a foreign class, not of floating point, or on another device.
    """
    for index, parameter in enumerate(parameters):
        if parameter.is_complex():
            problem = f"is complex ({parameter.dtype}); pass torch.view_as_real of it"
        elif not parameter.is_floating_point():
            problem = f"has dtype {parameter.dtype}, and only floating point has gradients"
        elif type(parameter).__torch_dispatch__ is not Tensor.__torch_dispatch__:
            problem = f"is a {type(parameter).__name__}, which computes in its own way; pass plain tensors"
        elif parameter.layout != torch.strided:
            problem = f"has layout {parameter.layout}; make it dense"
        elif parameter.device != device:
            problem = f"is on {parameter.device}; the norm of the gradient is taken over all, so move it to {device}"
        else:
            continue
        raise ParameterError(f"parameters must be real, dense and on one device, but parameter {index} {problem}.")


class Layout:
    """All parameters in one list, and contiguous memory for copies of them.

    Attributes:
        parameters: every parameter of every group, in order.
        groups: the index of each parameter's group.
        device: where all of them are.
        small: whether they lie on a CPU, in one dtype of 32 bits or more, and fit into a cache: there calls cost more
            than arithmetic.
    """

    def __init__(self, param_groups: Sequence[dict[str, Any]]) -> None:
        self.parameters: list[Tensor] = [p for group in param_groups for p in group["params"]]
        self.groups = [index for index, group in enumerate(param_groups) for _ in group["params"]]
        self._first = self.parameters[0] if self.parameters else torch.empty(())
        self.device, self._first_dtype = self._first.device, self._first.dtype
        self._everything = range(len(self.parameters))
        self._memory: dict[str, Scratch] = {}
        self._dtype = accumulation_dtype(self.parameters)
        n_elements = sum(p.numel() for p in self.parameters)
        one_dtype = len({p.dtype for p in self.parameters}) == 1
        self._gathers = self.device.type == "cpu" and one_dtype and n_elements <= SMALL
        self.small = self._gathers and self._first_dtype.itemsize >= 4

    @property
    def outdated(self) -> bool:
        """Whether the parameters have changed their dtype or device since, as by ``model.half()``."""
        return self._first.dtype != self._first_dtype or self._first.device != self.device

    def with_gradient(self) -> Active:
        """Return the parameters that have a gradient.

        Raises:
            ParameterError: a gradient is sparse.
        """
        present = [g for p in self.parameters if (g := p.grad) is not None]
        if any(g.layout is not torch.strided for g in present):
            message = "gradients must be dense, but got a sparse one; use nn.Embedding(..., sparse=False)."
            raise ParameterError(message)
        if len(present) == len(self.parameters):
            return Active(self._everything, self.parameters, present)
        indices = [index for index, p in enumerate(self.parameters) if p.grad is not None]
        return Active(indices, [self.parameters[index] for index in indices], present)

    def memory(self, name: str, indices: Sequence[int]) -> Scratch:
        """Return a copy's worth of memory, as one view for each of some parameters.

        Args:
            name: whose memory it is; allocated at the first call with that name, then kept.
            indices: places of the parameters, ascending.
        """
        if name not in self._memory:
            self._memory[name] = self._allocated()
        whole = self._memory[name]
        if len(indices) == len(self.parameters):
            return whole
        return Scratch([whole.views[index] for index in indices], whole.flats, partial=True)

    def operations(self, indices: Sequence[int], *, overwrite: bool, allocate: bool) -> Foreach:
        """Return arithmetic on lists of one tensor for each of some parameters, in the memory named theta.

        Args:
            indices: places of the parameters, ascending.
            overwrite: whether operands may be overwritten as well.
            allocate: whether to allocate the memory where it has not been.
        """
        if not allocate and "theta" not in self._memory:
            return Foreach(overwrite=overwrite)
        scratch = self.memory("theta", indices)
        return Foreach(scratch, overwrite=overwrite, gather=self._gathers and not scratch.partial)

    def scalar(self, value: Scalar) -> Tensor:
        """Return a scalar as a 0-dim tensor on the device of the parameters, in the dtype of their norms."""
        return torch.as_tensor(value, dtype=self._dtype, device=self.device)

    def _allocated(self) -> Scratch:
        views: dict[int, Tensor] = {}
        flats = []
        for dtype in dict.fromkeys(p.dtype for p in self.parameters):
            members = [index for index, p in enumerate(self.parameters) if p.dtype == dtype]
            like = [self.parameters[index] for index in members]
            flat = torch.empty(sum(p.numel() for p in like), dtype=dtype, device=self.device)
            views.update(zip(members, _split(flat, like), strict=True))
            flats.append(flat)
        return Scratch([views[index] for index in self._everything], flats, partial=False)


def _split(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Cut ``flat`` into one view for each tensor of ``like``, of its shape and, where it is dense, its strides."""
    views = []
    offset = 0
    for tensor in like:
        piece = flat[offset : offset + tensor.numel()]
        offset += tensor.numel()
        # Multi-tensor kernels need equal strides on both sides; channels-last weights have their own.
        dense = torch.empty_like(tensor, device="meta").stride()
        views.append(piece.as_strided(tensor.shape, dense, piece.storage_offset()))
    return views
