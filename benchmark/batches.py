"""Batches of a training split, in the order that a seed draws, from any step on."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator

import torch
from torch import Tensor

from benchmark.schedule import steps_per_epoch
from benchmark.seeding import Stream, torch_generator
from benchmark.sending import sent
from benchmark.tasks import Batch, Split
from benchmark.tasks.lazy import is_in_memory, taken

Augmentation = Callable[[Batch, int, int], Batch]
"""Returns a batch as it is trained on, given the seed and the step."""


def batches_of(
    train: Split, batch_size: int, seed: int, start: int = 0, *, augmented: Augmentation | None = None
) -> Generator[Batch, None, None]:
    """Yield full batches without end, in an order drawn anew each epoch from the seed.

    Close it where the split has rows that are read: threads read ahead until then.

    Args:
        train: the training split.
        batch_size: all examples where there are fewer.
        seed: of the order.
        start: number of batches that are left out; what comes is the same as after them.
        augmented: of the task; without it batches are as they lie in the split.
    """
    with contextlib.closing(taken(train, _order(train, batch_size, seed, start))) as batches:
        for step, batch in enumerate(batches, start):
            yield batch if augmented is None else augmented(batch, seed, step)


def _order(train: Split, batch_size: int, seed: int, start: int) -> Iterator[Tensor]:
    generator = torch_generator(seed, Stream.ORDER)
    n_examples = len(train[0])
    per_epoch = steps_per_epoch(n_examples, batch_size)
    n_skipped, start = divmod(start, per_epoch)
    for epoch in itertools.count():
        order = torch.randperm(n_examples, generator=generator)[start * batch_size : per_epoch * batch_size]
        if epoch >= n_skipped:
            yield from torch.split(sent(order, train[0].device) if is_in_memory(train) else order, batch_size)
            start = 0
