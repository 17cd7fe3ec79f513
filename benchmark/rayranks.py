"""The other processes that train a cell together with that of its trial, as actors in the trial's placement group."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from benchmark.distributed import joined
from benchmark.execution import device_for
from benchmark.plugins import Added, adopt
from benchmark.replay import n_threads, replaying
from benchmark.spec import Cell
from benchmark.tasks import load_task
from benchmark.training import follow

END_S = 30.0  # for which the others may go on once the leader has its record
logger = logging.getLogger("rhobust")


class Ranks:
    """The processes beside this one, which leads them; none until a cell wants them.

    They end with this process and with its placement group, and where one of them is lost all are ended.

    Args:
        known: plug-ins that they must have.
        replay: number of the replay that goes on.
        use_gpu: whether each has a GPU.
        cpus: of each.
    """

    def __init__(self, known: Added, replay: int, *, use_gpu: bool, cpus: float) -> None:
        self._given, self._use_gpu, self._cpus = (known, replay, use_gpu, cpus), use_gpu, cpus
        self._others: list[Any] = []
        self._joined = contextlib.ExitStack()

    @contextlib.contextmanager
    def beside(self, cell: Cell) -> Iterator[None]:
        """Have the others train a cell while this process does so in the block.

        Raises:
            RayError: one of them cannot be started.
            RuntimeError: one of them does not come.
        """
        n = cell.setting.budget.processes
        if n == 1:
            yield
            return
        try:
            if len(self._others) != n - 1:
                self.end()
                self._start(n)
            following = [other.follow.remote(cell) for other in self._others]
            yield
        except BaseException:
            self.end()
            raise
        try:
            ray.get(following, timeout=END_S)
        except RayError as error:  # this process has the record; they begin anew for the next cell
            logger.warning("a process beside the one of %s was ended: %s", cell.optimizer, error)
            self.end()

    def end(self) -> None:
        """End the others, whatever they do."""
        for other in self._others:
            ray.kill(other)
        self._others = []
        self._joined.close()

    def _start(self, n: int) -> None:
        group, address = ray.util.get_current_placement_group(), ray.util.get_node_ip_address()
        # the port is one that the system finds free; it is told to the others alone
        store = dist.TCPStore(address, 0, n, is_master=True, wait_for_workers=False)
        for rank in range(1, n):
            there = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
            wanted = {"num_cpus": self._cpus, "num_gpus": int(self._use_gpu), "scheduling_strategy": there}
            self._others.append(_Rank.options(**wanted).remote(*self._given))
        joining = [other.join.remote(rank, n, address, store.port) for rank, other in enumerate(self._others, start=1)]
        self._joined.enter_context(joined(0, n, store, address, device_for(use_gpu=self._use_gpu)))
        ray.get(joining)


@ray.remote(max_restarts=0)
class _Rank:
    """A process that follows."""

    def __init__(self, known: Added, replay: int, use_gpu: bool, cpus: float) -> None:
        adopt(known)
        self._device, self._replay = device_for(use_gpu=use_gpu), replay
        with replaying(replay):
            torch.set_num_threads(n_threads(max(1, int(cpus))))

    def join(self, rank: int, size: int, address: str, port: int) -> None:
        """Join the others."""
        store = dist.TCPStore(address, port, size, is_master=False)
        self._joined = contextlib.ExitStack()
        self._joined.enter_context(joined(rank, size, store, ray.util.get_node_ip_address(), self._device))

    def follow(self, cell: Cell) -> None:
        """Train a cell beside the leader; whatever goes wrong ends this process, so that the others notice."""
        setting = cell.setting
        try:
            with replaying(self._replay):
                task = load_task(setting.task, setting.task_params)
                follow(task, setting, cell.trained_with, cell.seed, device=self._device)
        except BaseException:
            logger.exception("a process beside the one that leads ends")
            os._exit(1)
