"""The choice between fused and sequential training: what the spec says, or what a short measurement says."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import torch

from benchmark import fused, training
from benchmark.execution import Execution
from benchmark.fused import Run, can_train_together
from benchmark.spec import Cell, Spec
from benchmark.tasks import load_task

MIN_CELLS = 16  # of a setting; with fewer, tracing takes longer than it saves
N_FUSED = 32  # cells that are timed together
N_STEPS = 5  # that are timed

logger = logging.getLogger("rhobust")


def choose_execution(
    spec: Spec, cells: Iterable[Cell], device: torch.device, *, known: Mapping[str, Execution] | None = None
) -> dict[str, Execution]:
    """Return how the cells of each setting are trained, by its key.

    Where the spec leaves it open, a few cells of the setting are trained both ways for a few steps, on one thread as a
    worker has it, and the faster way is taken.

    Args:
        spec: its resources may say which way.
        cells: what is to be trained.
        device: on which.
        known: what was chosen before, by the key of the setting; it is kept.
    """
    chosen: dict[str, Execution] = dict(known or {})
    by_setting: dict[str, list[Cell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting.key, []).append(cell)
    for key, own in by_setting.items():
        if key not in chosen:
            chosen[key] = _choose(spec.resources.pack, own, device)
    return chosen


def _choose(pack: str | int, cells: Sequence[Cell], device: torch.device) -> Execution:
    if pack == "fused" or pack == "sequential":
        return "fused" if pack == "fused" else "sequential"
    setting = cells[0].setting
    if len(cells) < MIN_CELLS:
        return "sequential"
    try:
        if not can_train_together(load_task(setting.task, setting.task_params), setting):
            return "sequential"
        fused_s, sequential_s = _seconds(cells, device)
    except Exception as error:  # noqa: BLE001  (whatever a task raises: its cells will say so one by one)
        logger.warning("%s is trained one cell after another: %s: %s", setting.task, type(error).__name__, error)
        return "sequential"
    execution: Execution = "fused" if fused_s < sequential_s else "sequential"
    words = "%s with %s: a step of a cell takes %.3f ms fused, %.3f ms one after another: %s"
    logger.info(words, setting.task, setting.rule, 1e3 * fused_s, 1e3 * sequential_s, execution)
    return execution


def _seconds(cells: Sequence[Cell], device: torch.device) -> tuple[float, float]:
    """Return the seconds that a step of a cell takes, trained together with others and alone."""
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    spread = cells[:: max(1, len(cells) // N_FUSED)][:N_FUSED]
    runs = [Run(cell.hyperparameters, cell.seed) for cell in spread]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fused_s = fused.step_s(task, setting, runs, device=device, n_steps=N_STEPS)
        first = runs[0]
        return fused_s, training.step_s(
            task, setting, first.hyperparameters, first.seed, device=device, n_steps=N_STEPS
        )
    finally:
        torch.set_num_threads(n_threads)
