"""Seeding: independent streams of random numbers for each use of a cell's seed (common random numbers)."""

import contextlib
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a stream is for. The numbers are part of every result: never change or reuse one."""

    SPLIT = 0
    INIT = 1
    ORDER = 2
    TRAIN = 3
    LABELS = 4
    SUBSET = 5
    SHARPNESS = 6
    REPLAY = 7
    AUGMENTATION = 8


def stream_seed(seed: int, stream: Stream, *steps: int) -> int:
    """Return the 63-bit seed of one stream of a cell's seed, or of one step of it."""
    state = np.random.SeedSequence((seed, int(stream), *steps)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def numpy_generator(seed: int, stream: Stream) -> np.random.Generator:
    """Return NumPy's generator of a stream."""
    return np.random.default_rng(stream_seed(seed, stream))


def torch_generator(seed: int, stream: Stream, *steps: int) -> torch.Generator:
    """Return a CPU generator of torch for a stream, or for one step of it."""
    return torch.Generator().manual_seed(stream_seed(seed, stream, *steps))


@contextlib.contextmanager
def seeded_torch(seed: int, stream: Stream) -> Iterator[None]:
    """Run a block with torch's global generators seeded for a stream, and put them back as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, stream))
        yield


class TorchStream:
    """Torch's global generators as one stream of a seed, which can be left and gone on with.

    Args:
        seed: of a cell.
        stream: what it is for.
        device: whose generator draws beside that of the CPU, if it has one.

    Attributes:
        state: of the generators where the stream was left, by the type of their device; empty before its start.
    """

    def __init__(self, seed: int, stream: Stream, device: torch.device) -> None:
        self._seed = stream_seed(seed, stream)
        accelerators = {device.type} - {"cpu"}
        self._modules = {"cpu": torch.random, **{kind: torch.get_device_module(kind) for kind in accelerators}}
        self.state: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run a block that draws the stream's next numbers, and put the generators back as they were."""
        with torch.random.fork_rng():
            if not self.state:
                torch.manual_seed(self._seed)
            for kind, state in self.state.items():
                self._modules[kind].set_rng_state(state)
            yield
            self.state = {kind: module.get_rng_state() for kind, module in self._modules.items()}
