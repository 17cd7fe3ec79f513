"""Replays: the same cells by the same code after a harmless numerical change, which is what a comparison must forgive.

The same code, spec and seeds repeat bit for bit on one machine, so the noise of a comparison is not that of the seeds.
It is what another order of additions does, as any change of a library or of the code may bring. A replay has such a
change made on purpose: every initial parameter is moved to a neighbour in its precision, up or down at random, cells
are trained in another order, and every other replay on another number of threads.
"""

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import nn

from benchmark.seeding import Stream, seeded_torch, stream_seed
from benchmark.tasks import Task

_Item = TypeVar("_Item")
_number: ContextVar[int] = ContextVar("replay", default=0)


@contextlib.contextmanager
def replaying(number: int) -> Iterator[None]:
    """Train in this block as the replay of that number; 0 is none.

    Raises:
        ValueError: for a negative number.
    """
    if number < 0:
        raise ValueError(f"the number of a replay must be 0 (none) or more, but got {number}.")
    token = _number.set(number)
    try:
        yield
    finally:
        _number.reset(token)


def replay_number() -> int:
    """Return the number of the replay that is going on; 0 for none."""
    return _number.get()


def initial_model(task: Task, seed: int, device: torch.device) -> nn.Module:
    """Return the model of a seed as training begins with it."""
    with seeded_torch(seed, Stream.INIT):
        model = task.model(seed)
    if replay_number():
        _nudge(model, seed, replay_number())
    return model.to(device)


def reordered(items: Sequence[_Item]) -> list[_Item]:
    """Return what is to be trained in the order of the replay; as it is where there is none."""
    found = list(items)
    if replay_number():
        random.Random(replay_number()).shuffle(found)  # noqa: S311  (no secret: another order, the same every time)
    return found


def n_threads(n_cpus: int) -> int:
    """Return the number of threads on which a worker with so many CPUs trains."""
    return n_cpus + replay_number() % 2


def _nudge(model: nn.Module, seed: int, number: int) -> None:
    """Move every parameter to the next number of its precision, up or down at random."""
    generator = torch.Generator().manual_seed(stream_seed(seed, Stream.REPLAY) ^ number)
    with torch.no_grad():
        for parameter in model.parameters():
            up = torch.randint(0, 2, parameter.shape, generator=generator, dtype=torch.bool)
            ends = torch.where(up, math.inf, -math.inf).to(parameter.dtype)
            parameter.copy_(torch.nextafter(parameter, ends))
