"""The other processes that train a cell together with that of its trial, as actors in the trial's placement group."""

import contextlib
import logging
import os
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from benchmark.distributed import joined, meeting_place, place_at
from benchmark.execution import device_for
from benchmark.plugins import Added, adopt
from benchmark.replay import n_threads, replaying
from benchmark.spec import Cell
from benchmark.tasks import load_task
from benchmark.training import follow

START_S = 180.0  # that they may take to start, and to load torch
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
        self._following: list[Any] = []
        self._joined = contextlib.ExitStack()

    def begin(self, cell: Cell) -> None:
        """Have the others train a cell beside this process.

        Raises:
            RayError: one of them cannot be started.
            RuntimeError: one of them does not come.
        """
        n = cell.setting.budget.processes
        if n == 1:
            return
        if len(self._others) != n - 1:
            self.end()
            self._start(n)
        self._following = [other.follow.remote(cell) for other in self._others]

    def finish(self) -> None:
        """Wait until the others are at the end of the cell, as this process is."""
        following, self._following = self._following, []
        try:
            ray.get(following, timeout=END_S)
        except RayError as error:  # this process has the record; they begin anew for the next cell
            logger.warning("a process beside this one was ended: %s", error)
            self.end()

    def kill(self) -> None:
        """End the others without waiting for them, before this process ends too: one of them may be lost."""
        for other in self._others:
            ray.kill(other)
        self._others, self._following = [], []

    def end(self) -> None:
        """End the others, whatever they do, and leave them."""
        self.kill()
        self._joined.close()

    def _start(self, n: int) -> None:
        group: Any = ray.util.get_current_placement_group()  # the trial's, a bundle of which each of them takes
        address = _address()
        store, port = meeting_place(address, n)
        for rank in range(1, n):
            there = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
            room = {"num_cpus": self._cpus, "num_gpus": int(self._use_gpu)}
            process = ray.remote(_Rank).options(**room, scheduling_strategy=there, max_restarts=0)
            self._others.append(process.remote(*self._given))
        ray.get([other.__ray_ready__.remote() for other in self._others], timeout=START_S)
        joining = [other.join.remote(rank, n, address, port) for rank, other in enumerate(self._others, start=1)]
        self._joined.enter_context(joined(0, n, store, address, device_for(use_gpu=self._use_gpu)))
        ray.get(joining)


class _Rank:
    """A process that follows."""

    def __init__(self, known: Added, replay: int, use_gpu: bool, cpus: float) -> None:
        adopt(known)
        self._device, self._replay = device_for(use_gpu=use_gpu), replay
        with replaying(replay):
            torch.set_num_threads(n_threads(max(1, int(cpus))))

    def join(self, rank: int, size: int, address: str, port: int) -> None:
        """Join the others."""
        self._joined = contextlib.ExitStack()
        self._joined.enter_context(joined(rank, size, place_at(address, port, size), _address(), self._device))

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


def _address() -> str:
    """Return the address that Ray has of this node."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    return address
