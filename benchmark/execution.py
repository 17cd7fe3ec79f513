"""Execution: one cell to its record, in the process that trains it."""

import torch

from benchmark.fingerprint import Fingerprint, fingerprint
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Status
from benchmark.spec import Cell
from benchmark.tasks import load_task
from benchmark.training import train

EXECUTION = "sequential"  # how every pack is trained: its cells one after another
MAX_ERROR_LENGTH = 500


def device_for(*, use_gpu: bool) -> torch.device:
    """Return the device of a pack: the accelerator where it was given one and there is one, else the CPU."""
    if use_gpu and torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator() or "cpu")
    return torch.device("cpu")


def cell_fingerprint(cell: Cell, device: torch.device) -> Fingerprint:
    """Return the fingerprint under which this process would train the cell on the device.

    Where the task's data cannot be had its version is `unavailable`: also a cell that failed for it has a record.
    """
    try:
        data_version = load_task(cell.setting.task, cell.setting.task_params).data_version
    except Exception:  # noqa: BLE001  (whatever a task raises: its cells fail with it, and say so)
        data_version = "unavailable"
    return fingerprint(
        cell.setting.task, data_version, device=device, precision=cell.setting.budget.precision, execution=EXECUTION
    )


def train_cell(cell: Cell, pack: PackPlace, *, device: torch.device, limit_s: float) -> Record:
    """Train a cell and return its record; an error in the code of its task or optimizer makes a failed one.

    Running out of memory is raised instead: the pack dies, and what is left of it is planned in smaller ones.
    """
    try:
        task = load_task(cell.setting.task, cell.setting.task_params)
        outcome = train(task, cell.setting, cell.hyperparameters, cell.seed, device=device, limit_s=limit_s)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever a task raises belongs into its record, not into its neighbours')
        return failed_record(cell, pack, device, f"{type(error).__name__}: {error}")
    return _record(cell, pack, device, outcome)


def failed_record(cell: Cell, pack: PackPlace, device: torch.device, error: str) -> Record:
    """Return the record of a cell that could not be trained."""
    cost = Cost(0, 0, 0.0, False, EXECUTION, device.type)
    # what no database can hold may stand in somebody else's message
    words = error[:MAX_ERROR_LENGTH].encode(errors="backslashreplace").decode().replace("\0", "\\0")
    outcome = Outcome(Status.FAILED, {}, {}, cost, Diagnostics(None, None), error=words)
    return _record(cell, pack, device, outcome)


def _record(cell: Cell, pack: PackPlace, device: torch.device, outcome: Outcome) -> Record:
    return Record(
        config_key=cell.key,
        fingerprint=cell_fingerprint(cell, device).key,
        setting=cell.setting.key,
        hyperparameters=cell.hyperparameters,
        seed=cell.seed,
        outcome=outcome,
        pack=pack,
    )
