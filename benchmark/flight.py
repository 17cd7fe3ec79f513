"""A cell in flight: trained by the plain loop in slices, kept in a file while it lasts, failed where it raises."""

import functools
import logging
import math
import time
from collections.abc import Sequence

import torch

from benchmark.checkpoints import Checkpoint
from benchmark.errors import BenchmarkError
from benchmark.execution import cell_fingerprint, fault_record, raise_if_fatal, record_of
from benchmark.records import PackPlace, Record, Status
from benchmark.spec import Cell
from benchmark.tasks import load_task
from benchmark.training import Training

CHECKPOINT_S = 60.0  # from one checkpoint to the next: what is lost where a process dies
WRITING_SHARE = 0.05  # of the time, at most, that goes into writing them
logger = logging.getLogger("rhobust")


class LostCheckpointError(BenchmarkError):
    """A cell of several processes did not take its checkpoint, which is gone: all of them have to begin anew."""


class Flight:
    """The training of one cell by this process, which goes on from the cell's checkpoint where there is one.

    Args:
        cell: what is trained.
        place: where.
        device: on which it is trained.
        limit_s: seconds that it may take, all parts together.
        sharpness: measures of a completed run, by their names in a spec.
        owner: who shares checkpoints of the cell: letters, digits and dashes.
    """

    def __init__(
        self,
        cell: Cell,
        place: PackPlace,
        *,
        device: torch.device,
        limit_s: float,
        sharpness: Sequence[str] = (),
        owner: str = "",
    ) -> None:
        self._cell, self._place, self._device, self._owner = cell, place, device, owner
        self._limit_s, self._sharpness = limit_s, sharpness
        self._training: Training | None = None
        self._is_kept = False
        self._kept_at, self._writing_s = time.monotonic(), 0.0

    @property
    def progress(self) -> tuple[int, int]:
        """Steps taken, and of how many; none of one before the first slice."""
        return (self._training.step, self._training.total) if self._training else (0, 1)

    def advance(self, slice_s: float) -> Record | None:
        """Train for so many seconds; return the record once there is one, a failed one where task or optimizer raise.

        Raises:
            Exception: running out of memory and faults of the accelerator, after which the process is to end.
        """
        try:
            training = self._training = self._training or self._begun()
            if not training.advance(slice_s):
                if time.monotonic() - self._kept_at >= max(CHECKPOINT_S, self._writing_s / WRITING_SHARE):
                    self.keep()
                return None
            outcome = training.outcome()
            if outcome.status is Status.TIMED_OUT and (self._is_kept or outcome.cost.elapsed_s >= CHECKPOINT_S):
                late = {"elapsed_s": outcome.cost.elapsed_s, "limit_s": self._limit_s}
                self._checkpoint.save(lambda: training.state() | late)  # with more time it may go on from there
        except LostCheckpointError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a task raises belongs into its record)
            return self._landed(fault_record(error, self._cell, self._place, self._device))
        return self._landed(record_of(self._cell, self._place, self._device, outcome))

    def _landed(self, record: Record) -> Record:
        """Let go of what a cell takes, and of its file unless a later attempt may go on from that."""
        self._training = None
        self._is_kept = self._is_kept and record.outcome.status.is_result
        return record

    def keep(self) -> None:
        """Write a checkpoint, if there is anything to go on with."""
        if self._training is None:
            return
        began = time.monotonic()
        self._checkpoint.save(self._training.state)
        self._is_kept, self._kept_at = True, time.monotonic()
        self._writing_s = self._kept_at - began

    def leave(self) -> None:
        """Write a checkpoint and end what reads ahead of the run."""
        self.keep()
        if self._training is not None:
            self._training.close()

    def forget(self) -> None:
        """Remove the checkpoint: the cell's record is where it belongs."""
        if self._is_kept:
            self._checkpoint.remove()

    @functools.cached_property
    def _checkpoint(self) -> Checkpoint:
        cell, made_by = self._cell, cell_fingerprint(self._cell, self._device).key
        name = "-".join(filter(None, (cell.key, made_by, self._owner)))
        # of a control the radius depends on other records
        return Checkpoint(name, {"hyperparameters": dict(cell.trained_with), "seed": cell.seed, "made_by": made_by})

    def _begun(self) -> Training:
        training, state = self._new(), self._checkpoint.load()
        if state is None:
            return training
        self._is_kept = True
        if self._limit_s <= state.get("limit_s", -math.inf):
            return training  # from there it would be too late again, however fast this device is
        try:
            training.load(state)
        except Exception as error:
            raise_if_fatal(error)
            self._checkpoint.remove()
            if self._cell.setting.budget.processes > 1:
                raise LostCheckpointError(f"the checkpoint of {self._cell.task} is of another cell: {error}") from error
            logger.exception("%s of seed %d begins anew, not from its checkpoint", self._cell.task, self._cell.seed)
            del training
            return self._new()
        logger.info("%s goes on from step %d of %d", self._cell.task, training.step, training.total)
        return training

    def _new(self) -> Training:
        cell = self._cell
        task = load_task(cell.setting.task, cell.setting.task_params)
        given = task, cell.setting, cell.trained_with, cell.seed
        return Training(*given, device=self._device, limit_s=self._limit_s, sharpness=self._sharpness)
