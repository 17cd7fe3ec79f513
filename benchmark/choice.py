"""The choice between fused and sequential training: what the spec says, or what a short measurement says."""

import logging
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from benchmark import fused, training
from benchmark.canonical import content_hash
from benchmark.execution import Execution
from benchmark.fused import Run, can_train_together
from benchmark.spec import Cell, Setting, Spec
from benchmark.tasks import load_task

MIN_CELLS = 16  # of a setting; with fewer, tracing takes longer than it saves
N_FUSED = 32  # cells that are timed together
N_STEPS = 5  # that are timed

logger = logging.getLogger("rhobust")


@dataclass(frozen=True, slots=True)
class StepTiming:
    """How long a step takes, on one thread as a worker has it.

    Attributes:
        fused_s: seconds of a step of one cell, its share where cells are trained together; None where they cannot be.
        sequential_s: seconds of a step of one cell by the plain loop.
    """

    fused_s: float | None
    sequential_s: float


@dataclass(frozen=True)
class Choice:
    """How the cells of each setting are trained.

    Attributes:
        executions: by the key of the setting.
        timings: what was measured for it, by `timing_key`; not what was known before.
    """

    executions: dict[str, Execution] = field(default_factory=dict)
    timings: dict[str, StepTiming] = field(default_factory=dict)


def timing_key(setting: Setting, device: torch.device) -> str:
    """Return the hash of all on which the seconds of a step depend: task, rule, base, batch, precision and device."""
    budget = setting.budget
    what = {**setting.to_dict(), "budget": {"batch_size": budget.batch_size, "precision": budget.precision}}
    return content_hash({**what, "device": device_name(device), "torch": torch.__version__})


def device_name(device: torch.device) -> str:
    """Return the name of a device as its maker gives it, as far as it is known."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.processor() or platform.machine()}"


def choose_execution(
    spec: Spec,
    cells: Iterable[Cell],
    device: torch.device,
    *,
    known: Mapping[str, Execution] | None = None,
    timings: Mapping[str, StepTiming] | None = None,
) -> Choice:
    """Return how the cells of each setting are trained.

    Where the spec leaves it open, a few cells of the setting are trained both ways for a few steps, on one thread as a
    worker has it, and the faster way is taken.

    Args:
        spec: its resources may say which way.
        cells: what is to be trained.
        device: on which.
        known: what was chosen before, by the key of the setting; it is kept.
        timings: what was measured before, by `timing_key`; it is not measured again.
    """
    choice = Choice(dict(known or {}))
    by_setting: dict[str, list[Cell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting.key, []).append(cell)
    for key, own in by_setting.items():
        if key not in choice.executions:
            choice.executions[key] = _choose(spec.resources.pack, own, device, timings or {}, choice.timings)
    return choice


def _choose(
    pack: str | int,
    cells: Sequence[Cell],
    device: torch.device,
    known: Mapping[str, StepTiming],
    measured: dict[str, StepTiming],
) -> Execution:
    if pack == "fused" or pack == "sequential":
        return "fused" if pack == "fused" else "sequential"
    setting = cells[0].setting
    if len(cells) < MIN_CELLS:
        return "sequential"
    key = timing_key(setting, device)
    if key in known:
        return _faster(known[key])
    try:
        if not can_train_together(load_task(setting.task, setting.task_params), setting):
            return "sequential"
        timing = measured[key] = _timed(cells, device)
    except Exception as error:  # noqa: BLE001  (whatever a task raises: its cells will say so one by one)
        logger.warning("%s is trained one cell after another: %s: %s", setting.task, type(error).__name__, error)
        return "sequential"
    execution = _faster(timing)
    words = "%s with %s: a step of a cell takes %.3f ms fused, %.3f ms one after another: %s"
    logger.info(words, setting.task, setting.rule, 1e3 * (timing.fused_s or 0), 1e3 * timing.sequential_s, execution)
    return execution


def _faster(timing: StepTiming) -> Execution:
    return "fused" if timing.fused_s is not None and timing.fused_s < timing.sequential_s else "sequential"


def _timed(cells: Sequence[Cell], device: torch.device) -> StepTiming:
    """Train a few cells for a few steps, together and one of them alone."""
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    spread = cells[:: max(1, len(cells) // N_FUSED)][:N_FUSED]
    runs = [Run(cell.hyperparameters, cell.seed) for cell in spread]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fused_s = fused.step_s(task, setting, runs, device=device, n_steps=N_STEPS)
        first = runs[0]
        sequential_s = training.step_s(task, setting, first.hyperparameters, first.seed, device=device, n_steps=N_STEPS)
        return StepTiming(fused_s, sequential_s)
    finally:
        torch.set_num_threads(n_threads)
