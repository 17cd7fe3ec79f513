"""Keep a second forward pass from counting twice in running statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["frozen_buffers"]


@contextmanager
def frozen_buffers(*modules: nn.Module) -> Iterator[None]:
    """Put every buffer of ``modules`` back on leaving, bitwise and in place.

    Forward passes inside compute as always, with batch statistics in training mode; running means and variances,
    ``num_batches_tracked`` and all other buffers are afterwards what they were before. Changing the momentum of a
    batch norm instead would still count the batch, and switching its tracking off changes what instance norm
    computes in evaluation mode. Costs one copy of the buffers while it is open.

    Args:
        modules: networks of any kind of layer, wrapped (``DistributedDataParallel``) or not.
    """
    owners = _unique_buffers(modules)
    buffers = [buffer for _, _, buffer in owners]
    saved = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        # Through .data: a backward pass that is still to come may hold these buffers, and their values do not enter
        # its result in training mode, so that their version must not move.
        if buffers:
            torch._foreach_copy_([buffer.data for buffer in buffers], saved)
        for owner, name, buffer in owners:
            owner._buffers[name] = buffer


def _unique_buffers(modules: tuple[nn.Module, ...]) -> list[tuple[nn.Module, str, Tensor]]:
    owners: dict[int, tuple[nn.Module, str, Tensor]] = {}
    for root in modules:
        for owner in root.modules():
            for name, buffer in owner._buffers.items():
                if buffer is not None and not is_lazy(buffer):
                    owners.setdefault(id(buffer), (owner, name, buffer))
    return list(owners.values())
