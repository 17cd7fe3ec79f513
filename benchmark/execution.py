"""Execution: cells to their records, in the process that trains them, fused or one after another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from benchmark.distributed import lost_another
from benchmark.fingerprint import Fingerprint, fingerprint
from benchmark.fused import Run, train_together
from benchmark.memory import ran_out
from benchmark.records import Cost, Diagnostics, Outcome, PackPlace, Record, Status
from benchmark.spec import Cell
from benchmark.tasks import load_task
from benchmark.training import train

Execution = Literal["fused", "sequential"]
"""How cells are trained: all of a pack at once, or one after another."""

MAX_ERROR_LENGTH = 500


def device_for(*, use_gpu: bool) -> torch.device:
    """Return the device of a pack: the accelerator where it was given one and there is one, else the CPU."""
    if use_gpu and torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator() or "cpu")
    return torch.device("cpu")


def cell_fingerprint(cell: Cell, device: torch.device, execution: Execution = "sequential") -> Fingerprint:
    """Return the fingerprint under which this process would train the cell on the device.

    Where the task's data cannot be had its version is `unavailable`: also a cell that failed for it has a record.
    """
    try:
        data_version = load_task(cell.setting.task, cell.setting.task_params).data_version
    except Exception:  # noqa: BLE001  (whatever a task raises: its cells fail with it, and say so)
        data_version = "unavailable"
    setting = cell.setting
    return fingerprint(
        setting.task,
        setting.rule,
        data_version,
        device=device,
        precision=setting.budget.precision,
        execution=execution,
    )


def train_cells(
    cells: Sequence[Cell],
    places: Sequence[PackPlace],
    *,
    device: torch.device,
    limit_s: float,
    execution: Execution,
    sharpness: Sequence[str] = (),
) -> list[Record]:
    """Train cells of one setting and return their records; an error of its task or optimizer makes failed ones.

    Running out of memory is raised instead, and so is a fault of the accelerator or the loss of another process: the
    pack's process dies, and what is left of it is planned in smaller packs. Of cells
    that are trained together the one that raises is found by halves, and takes no other with it.

    Args:
        cells: at least one, all of one setting.
        places: where each is trained.
        device: on which they are trained.
        limit_s: seconds that one cell may take, or its share.
        execution: together or one after another.
        sharpness: measures of completed runs, by their names in a spec.
    """
    if len(cells) > 1 and execution == "sequential":
        pairs = zip(cells, places, strict=True)
        return [train_cell(cell, place, device=device, limit_s=limit_s, sharpness=sharpness) for cell, place in pairs]
    setting = cells[0].setting
    try:
        task = load_task(setting.task, setting.task_params)
        if execution == "sequential":
            (cell,) = cells
            alone = train(
                task, setting, cell.trained_with, cell.seed, device=device, limit_s=limit_s, sharpness=sharpness
            )
            outcomes = [alone]
        else:
            runs = [Run(cell.trained_with, cell.seed) for cell in cells]
            outcomes = train_together(task, setting, runs, device=device, limit_s=limit_s, sharpness=sharpness)
    except Exception as error:  # noqa: BLE001  (whatever a task raises belongs into its record, not its neighbours')
        if len(cells) == 1:
            return [fault_record(error, cells[0], places[0], device, execution)]
        raise_if_fatal(error)
        middle = len(cells) // 2
        halves = ((cells[:middle], places[:middle]), (cells[middle:], places[middle:]))
        return [
            record
            for half, own in halves
            for record in train_cells(
                half, own, device=device, limit_s=limit_s, execution=execution, sharpness=sharpness
            )
        ]
    pairs_of = zip(cells, places, outcomes, strict=True)
    return [record_of(cell, place, device, outcome, execution) for cell, place, outcome in pairs_of]


def train_cell(
    cell: Cell, pack: PackPlace, *, device: torch.device, limit_s: float, sharpness: Sequence[str] = ()
) -> Record:
    """Train one cell by the plain loop and return its record, as `train_cells` does."""
    (record,) = train_cells([cell], [pack], device=device, limit_s=limit_s, execution="sequential", sharpness=sharpness)
    return record


def failed_record(
    cell: Cell,
    pack: PackPlace,
    device: torch.device,
    error: str,
    execution: Execution = "sequential",
    status: Status = Status.FAILED,
) -> Record:
    """Return the record of a cell that could not be trained; `timed_out` where it is so because another one was."""
    cost = Cost(0, 0, 0.0, False, execution, device.type)
    # what no database can hold may stand in somebody else's message
    words = error[:MAX_ERROR_LENGTH].encode(errors="backslashreplace").decode().replace("\0", "\\0")
    outcome = Outcome(status, {}, {}, cost, Diagnostics(None, None), error=words)
    return record_of(cell, pack, device, outcome, execution)


def fault_record(
    error: Exception, cell: Cell, pack: PackPlace, device: torch.device, execution: Execution = "sequential"
) -> Record:
    """Return the record of a cell whose training raised an error; raise that instead where the process is to end."""
    raise_if_fatal(error)
    return failed_record(cell, pack, device, f"{type(error).__name__}: {error}", execution)


def raise_if_fatal(error: Exception) -> None:
    """Raise an error after which this process is to end: there is no memory, or another one or the device is lost."""
    # after a fault of the accelerator nothing in this process can be trusted
    if ran_out(error) or isinstance(error, torch.AcceleratorError) or lost_another(error):
        raise error


def record_of(
    cell: Cell, pack: PackPlace, device: torch.device, outcome: Outcome, execution: Execution = "sequential"
) -> Record:
    """Return a record; that of a control tells its perturbation in units of the rho on its axis, as its partner's."""
    in_radii, rho = outcome.diagnostics.delta_over_rho, cell.hyperparameters.get("rho")
    if cell.radius is not None and in_radii is not None and rho:
        diagnostics = replace(outcome.diagnostics, delta_over_rho=in_radii * cell.radius / rho)
        outcome = replace(outcome, diagnostics=diagnostics)
    return Record(
        config_key=cell.key,
        fingerprint=cell_fingerprint(cell, device, execution).key,
        setting=cell.setting.key,
        hyperparameters=cell.recorded,
        seed=cell.seed,
        outcome=outcome,
        pack=pack,
    )
