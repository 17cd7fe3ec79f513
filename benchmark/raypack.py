"""The worker's side of Ray Tune: one pack as a trainable, which reports as its cells finish and within long ones."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from ray import tune

from benchmark.errors import PluginError
from benchmark.execution import Execution, cell_fingerprint, device_for, train_cells
from benchmark.fingerprint import Fingerprint
from benchmark.flight import Flight
from benchmark.packs import PACK_S, Pack
from benchmark.plugins import NOTHING_ADDED, Added, adopt
from benchmark.rayranks import Ranks
from benchmark.records import PackPlace, Record
from benchmark.replay import n_threads, replaying
from benchmark.spec import Cell, Grid

REPORT_S, SLICE_S = 0.25, 1.0  # from one report to the next: after short cells, and within one that lasts longer
logger = logging.getLogger("rhobust")


class PackTrainable(tune.Trainable):
    """Trains a pack: all its cells in one step, or one after another in steps that last a second at most, about."""

    def setup(
        self,
        config: dict[str, Any],
        *,
        cells: Sequence[Cell] = (),
        grids: Sequence[Grid] = (),
        seeds: Sequence[int] = (),
        executions: Mapping[str, Execution] = MappingProxyType({}),
        known: Added = NOTHING_ADDED,
        limit_s: float = math.inf,
        sharpness: Sequence[str] = (),
        use_gpu: bool = False,
        replay: int = 0,
        company: frozenset[int] = frozenset(),
        owner: str = "",
    ) -> None:
        """Get ready for the packs of a run; what they share is that of `raytune.train_packs`."""
        try:
            adopt(known)
        except PluginError:  # cells that need it fail, and say which name is not known here; all others are trained
            logger.exception("a plug-in is missing on this node")
        self._planned, self._grids, self._seeds = cells, grids, seeds
        self._executions, self._limit_s, self._sharpness = executions, limit_s, sharpness
        self._device, self._replay, self._company = device_for(use_gpu=use_gpu), replay, company
        self._owner = owner
        cpus = self.trial_resources.head_cpus if self.trial_resources else 1
        self._ranks = Ranks(known, replay, use_gpu=use_gpu, cpus=cpus)
        with replaying(replay):
            torch.set_num_threads(n_threads(max(1, int(cpus))))
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin with a pack."""
        self._pack = Pack(new_config["start"], new_config["stop"])
        self._first, self._cells = new_config["first"], self._planned
        if chosen := new_config.get("chosen"):
            self._cells = list(self._grids[chosen["search"]].cells_of(chosen["hyperparameters"], self._seeds))
        self._next = self._pack.start
        self._deadline = time.monotonic() + PACK_S
        self._flight: Flight | None = None
        self._landed: list[Flight] = []
        self._is_leaving = False
        return True

    def cleanup(self) -> None:
        """End the processes beside this one."""
        self._ranks.end()

    def leave(self) -> None:
        """Have the next step be the last one, with a checkpoint of the cell in flight."""
        self._is_leaving = True

    def step(self) -> dict[str, Any]:
        """Train for a while and report: records and fingerprints that are new, and the steps of a cell in flight."""
        try:
            with replaying(self._replay):
                return self._step()
        except BaseException:
            self._ranks.kill()  # this process ends with it, and those beside it would wait
            raise

    def _step(self) -> dict[str, Any]:
        for landed in self._landed:  # the last report was taken, or there would be no step
            landed.forget()
        self._landed.clear()
        # The last report carries no records: Tune keeps it for every trial. A pack trains one cell at the very least.
        is_late = self._flight is None and self._next > self._pack.start and time.monotonic() > self._deadline
        if self._next == self._pack.stop or is_late or self._is_leaving:
            if self._flight is not None:
                self._flight.leave()
                self._flight = None
                self._ranks.finish()
            return {"records": (), "n_cells": 0, "fingerprints": {}, "flight": None, "done": True}
        until = time.monotonic() + REPORT_S
        records: list[Record] = []
        fingerprints: dict[str, Fingerprint] = {}
        start = self._next
        while self._next < self._pack.stop and (self._next == start or time.monotonic() < until):
            cell = self._cells[self._next - self._first]
            execution = self._executions[cell.setting.key]
            trained = self._fused() if execution == "fused" else self._advanced(cell)
            if not trained:
                break
            records += [one for place, one in enumerate(trained, self._next) if place not in self._company]
            made_by = cell_fingerprint(cell, self._device, execution)
            fingerprints[made_by.key] = made_by
            self._next += len(trained)
        return {
            "records": tuple(records),
            "n_cells": self._next - start,
            "fingerprints": fingerprints,
            "flight": self._flight and self._flight.progress,
            "done": False,
        }

    def _fused(self) -> list[Record]:
        """Train what is left of the pack at once, and return its records."""
        cells = self._cells[self._next - self._first : self._pack.stop - self._first]
        places = [self._place(position) for position in range(self._next, self._pack.stop)]
        return train_cells(
            cells,
            places,
            device=self._device,
            limit_s=self._limit_s,
            execution="fused",
            sharpness=self._sharpness,
        )

    def _advanced(self, cell: Cell) -> list[Record]:
        """Train the next cell for a slice, and return its record if it has one by then."""
        flight = self._flight
        if flight is None:
            self._ranks.begin(cell)
            flight = self._flight = Flight(
                cell,
                self._place(self._next),
                device=self._device,
                limit_s=self._limit_s,
                sharpness=self._sharpness,
                owner=self._owner,
            )
        record = flight.advance(SLICE_S)
        if record is None:
            return []
        self._flight = None
        self._landed.append(flight)
        self._ranks.finish()
        return [record]

    def _place(self, position: int) -> PackPlace:
        return PackPlace(self.trial_id, self._pack.size, position - self._pack.start)
