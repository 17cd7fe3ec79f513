"""Memory: what work needs at its peak, what a device has to give, and which errors say that it was not enough."""

import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY_SHARE = 0.5  # of what is free: the rest is for processes, libraries, fragments, and what grows meanwhile
MAX_PACKS_PER_GPU = 4  # processes take turns on a GPU; more of them only wait
CGROUP = Path("/sys/fs/cgroup")  # of version 2, as containers have it


def free_bytes(device: torch.device) -> int:
    """Return the bytes that a device has to give: what is free, within the limit of the container."""
    if device.type != "cpu":
        free: int = torch.accelerator.get_memory_info(device)[0]
        return free
    return min(psutil.virtual_memory().available, container_free_bytes(CGROUP))


def room_on(device: torch.device) -> tuple[str, int]:
    """Return the type of a device, and the bytes that it has to give."""
    return device.type, free_bytes(device)


def container_free_bytes(folder: Path) -> int:
    """Return the bytes left of a control group's limit, or a number beyond all memories where it has none."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        cached = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["inactive_file"]
    except (OSError, ValueError, KeyError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - used + int(cached))


def pack_bytes(free: int, *, n_workers: int, gpus: float) -> int:
    """Return the bytes that a pack may take.

    Args:
        free: of the device.
        n_workers: packs that run at once, and share the memory of the CPU.
        gpus: of a pack; a fraction of one is that fraction of its memory, 0 is the CPU.
    """
    return int(MEMORY_SHARE * free * (min(1.0, gpus) if gpus > 0 else 1 / n_workers))


def gpu_share(wanted: int, free: int) -> float:
    """Return the fraction of a GPU that a pack takes: the smallest that has room for it.

    Args:
        wanted: bytes of the largest pack; 0 where that is not known.
        free: bytes that the GPU has to give.
    """
    n = int(MEMORY_SHARE * free) // wanted if wanted > 0 else MAX_PACKS_PER_GPU
    return 1 / min(MAX_PACKS_PER_GPU, max(1, n))


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory was not enough; for a CPU, and in libraries, torch's are plain ones."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in words or "_ALLOC_FAILED" in words)


def give_back(device: torch.device) -> None:
    """Give back what torch keeps of an accelerator's memory for later, so that other processes may have it."""
    if device.type != "cpu":
        torch.accelerator.empty_cache()


def peak_bytes(work: Callable[[], object]) -> int:
    """Do some work and return the largest sum of bytes of the tensors that it made and that lived at one time.

    It counts what passes through torch's dispatcher, on whatever device, and not what a kernel uses inside.
    """
    peak = _Peak()
    with peak:
        work()
    return peak.largest


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Sums up the memory behind tensors from their making to their end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.largest = self._now = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for storage in _memory_of((args, kwargs)):  # what was there before is not of this work's making
            self._seen.add(storage)
        results = func(*args, **(kwargs or {}))
        for storage in _memory_of(results):
            if storage not in self._seen:
                self._seen.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes()).atexit = False
        return results

    def _add(self, n_bytes: int) -> None:
        self._now += n_bytes
        self.largest = max(self.largest, self._now)


def _memory_of(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]
