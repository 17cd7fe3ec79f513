"""Several processes for one cell: each takes a share of every batch, and together they do what one would.

Each process has the whole batch, sends its share of the inputs through the model, and gathers the outputs of all. The
loss is that of the whole batch in each of them, whatever it makes of the outputs, and its gradient goes back through a
process's own outputs; the mean over processes, which torch's DistributedDataParallel takes, is made a sum. So
parameters, batches and random numbers are the same everywhere, and no state of the optimizer is exchanged.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # torch lists them nowhere as exports
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from benchmark.microbatches import has_batch_norm, in_parts
from benchmark.plain import packed, unpacked
from benchmark.spec import Setting
from benchmark.tasks import Model

SILENCE_S = 1_800.0  # for which the others are waited for: one of them evaluates and measures alone
_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass(frozen=True)
class Crew:
    """The processes that train a cell, seen from one of them.

    Attributes:
        rank: of this process; 0 leads: it alone measures, and says when the run is at its end.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def lead(self, step: int) -> None:
        """Tell the others, if this process leads any, which step comes; 0 is the end of the run."""
        if self.size > 1 and self.rank == 0:
            dist.broadcast(torch.tensor(step), src=0)

    def give(self, state: Mapping[str, Any] | None) -> None:
        """Tell the others, before the first step, from which state the run goes on; None for its beginning."""
        if self.size == 1:
            return
        document, tensors = packed(state)
        forms = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
        text = torch.tensor(list(json.dumps([document, forms]).encode()), dtype=torch.uint8)
        dist.broadcast(torch.tensor(len(text)), src=0)
        for tensor in (text, *tensors.values()):
            _broadcast(tensor)

    def given(self) -> Mapping[str, Any] | None:
        """Wait for the leader, and return what it gives."""
        length = torch.tensor(0)
        dist.broadcast(length, src=0)
        text = torch.empty(int(length), dtype=torch.uint8)
        _broadcast(text)
        document, forms = json.loads(bytes(text.tolist()))
        tensors = {name: torch.empty(shape, dtype=_DTYPES[dtype]) for name, (dtype, shape) in forms.items()}
        for tensor in tensors.values():
            _broadcast(tensor)
        state: Mapping[str, Any] | None = unpacked(document, tensors)
        return state

    def heard(self) -> int:
        """Wait for the leader, and return which step comes; 0 at the end of the run."""
        step = torch.tensor(0)
        dist.broadcast(step, src=0)
        return int(step)


def _broadcast(tensor: Tensor) -> None:
    """Send the bytes of a tensor that lies in one piece, or receive them into it."""
    if tensor.numel():
        dist.broadcast(tensor.reshape(-1).view(torch.uint8), src=0)


def crew_of(setting: Setting) -> Crew:
    """Return the processes that train the cells of a setting.

    Raises:
        ValueError: the setting is for another number of processes than have joined.
    """
    wanted = setting.budget.processes
    found = dist.get_world_size() if wanted > 1 and dist.is_initialized() else 1
    if found != wanted:
        raise ValueError(f"{wanted} processes must train this cell together, but {found} of them joined.")
    return Crew(dist.get_rank(), wanted) if wanted > 1 else Crew()


def meeting_place(address: str, size: int) -> tuple[Store, int]:
    """Return where the processes of a crew find each other, kept by this one, and its port.

    Args:
        address: of this machine, by which the others reach it.
        size: how many they are.
    """
    store = TCPStore(address, 0, size, is_master=True, wait_for_workers=False)  # the system finds a port that is free
    return store, store.port


def place_at(address: str, port: int, size: int) -> Store:
    """Return the meeting place that another process keeps."""
    return TCPStore(address, port, size, is_master=False)


@contextlib.contextmanager
def joined(
    rank: int, size: int, store: Store, own_address: str, device: torch.device, silence_s: float = SILENCE_S
) -> Iterator[None]:
    """Be one of several processes in this block, which begins when all are there.

    Args:
        rank: of this process.
        size: how many they are.
        store: through which they find each other.
        own_address: of the machine of this process, by which the others reach it.
        device: on which this process trains; each has an accelerator of its own.
        silence_s: after so many seconds the others are waited for no longer: whoever waits raises, or is ended by NCCL.

    Raises:
        RuntimeError: one of them does not come.
    """
    interface = next(
        (name for name, own in psutil.net_if_addrs().items() if own_address in {a.address for a in own}), ""
    )
    if interface:
        os.environ.setdefault(GLOO_INTERFACE, interface)  # by the name of the machine it may find the loopback alone
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=silence_s))
    try:
        yield
    finally:
        dist.destroy_process_group()


def lost_another(error: BaseException) -> bool:
    """Return whether an error says that another process is gone or silent; those of gloo are plain ones."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and "gloo" in str(error)


def spread(model: nn.Module, micro_batch: int | None, device: torch.device) -> nn.Module:
    """Return a model whose gradients are the means of those of all processes, which have the parameters of the leader.

    Args:
        model: on the device; batch norm in it becomes one over all processes.
        micro_batch: most examples that go through it at once, if there is such a number.
        device: on which this process trains.

    Raises:
        ValueError: the model has batch norm, which torch can take over processes on CUDA only.
    """
    if has_batch_norm(model):
        if device.type != "cuda":
            raise ValueError(
                "batch norm over several processes needs CUDA, but this is a CPU; take one process, or group norm."
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    dist.all_reduce(torch.zeros(()))  # by gloo, which notices that another is gone; NCCL would wait for it without end
    places = [device] if device.type == "cuda" else None
    return DistributedDataParallel(_Parts(model, micro_batch), device_ids=places, forward_sync_buffers=False)


def of_all(model: Model, crew: Crew) -> Model:
    """Return a model that sends this process's share of a batch through a model, and returns the outputs of all.

    The gradient goes back through the share alone. Of an output that is a single number, the same in all processes,
    each takes a part of the gradient.

    Args:
        model: a function of inputs (n, ...), as a task that can be split has it.
        crew: the processes.

    Raises:
        ValueError: by the model, for a batch that cannot be divided into equal shares.
    """
    if crew.size == 1:
        return model

    def whole(*inputs: Tensor) -> Any:
        n, rest = divmod(len(inputs[0]), crew.size)
        if rest:
            raise ValueError(
                f"a batch must be a multiple of the processes, but it has {len(inputs[0])} examples for {crew.size}."
            )
        outputs = model(*(each[crew.rank * n : (crew.rank + 1) * n] for each in inputs))
        return tree_map(lambda value: _gathered(value, crew), outputs)

    return whole


class _Parts(nn.Module):
    """A model that a batch goes through in parts; a module, for whoever wraps it."""

    def __init__(self, model: nn.Module, micro_batch: int | None) -> None:
        super().__init__()
        self.model = model
        self._whole = in_parts(model, micro_batch)

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the model does."""
        return self._whole(*inputs)


def _gathered(value: Any, crew: Crew) -> Any:
    if not isinstance(value, Tensor):
        return value
    if not value.ndim:
        fixed = value.detach()
        return fixed + (value - fixed) / crew.size
    parts = [torch.empty_like(value) for _ in range(crew.size)]
    dist.all_gather(parts, value.detach().contiguous())
    parts[crew.rank] = value
    return torch.cat(parts)
