"""Keep a second forward pass from counting twice in running statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["frozen_buffers"]


@contextmanager
def frozen_buffers(*modules: nn.Module, memory: list[Tensor] | None = None) -> Iterator[None]:
    """Put every buffer of ``modules`` back on leaving, bitwise and in place.

    Forward passes inside compute as always, with batch statistics in training mode; running means and variances,
    ``num_batches_tracked`` and all other buffers are afterwards what they were before. Changing the momentum of a
    batch norm instead would still count the batch, and switching its tracking off changes what instance norm
    computes in evaluation mode. Costs one copy of the buffers while it is open.

    Args:
        modules: networks of any kind of layer, wrapped (``DistributedDataParallel``) or not.
        memory: a list that keeps the copy's tensors from one call to the next; at first empty.
    """
    owners = _unique_buffers(modules)
    buffers = [buffer for _, _, buffer in owners]
    saved = [] if memory is None else [*memory]
    if memory is not None:
        memory.clear()  # taken: a call within this one needs memory of its own
    if not _alike(saved, buffers):
        saved = [torch.empty_like(buffer) for buffer in buffers]
    if buffers:
        torch._foreach_copy_(saved, [buffer.detach() for buffer in buffers])
    try:
        yield
    finally:
        # Through .data: a backward pass that is still to come may hold these buffers, and their values do not enter
        # its result in training mode, so that their version must not move.
        if buffers:
            torch._foreach_copy_([buffer.data for buffer in buffers], saved)
        for owner, name, buffer in owners:
            owner._buffers[name] = buffer
        if memory is not None:
            memory[:] = saved


def _alike(xs: list[Tensor], ys: list[Tensor]) -> bool:
    kinds = [[(x.shape, x.dtype, x.device) for x in tensors] for tensors in (xs, ys)]
    return kinds[0] == kinds[1]


def _unique_buffers(modules: tuple[nn.Module, ...]) -> list[tuple[nn.Module, str, Tensor]]:
    owners: dict[int, tuple[nn.Module, str, Tensor]] = {}
    for root in modules:
        for owner in root.modules():
            for name, buffer in owner._buffers.items():
                if buffer is not None and not is_lazy(buffer):
                    owners.setdefault(id(buffer), (owner, name, buffer))
    return list(owners.values())
