"""The choice between fused and sequential training: what the spec says, or what a short measurement says."""

import contextlib
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch

from benchmark import cell_costs, fused
from benchmark.canonical import content_hash
from benchmark.errors import FusionError
from benchmark.execution import Execution
from benchmark.fused import Run, can_train_together
from benchmark.memory import MEMORY_SHARE, free_bytes, give_back, ran_out
from benchmark.packs import Footprint
from benchmark.schedule import total_steps
from benchmark.spec import Cell, Setting, Spec
from benchmark.tasks import Task, load_task, task_source
from optimizers import optimizer_info, optimizer_source

MIN_CELLS = 16  # of a setting; with fewer, tracing takes longer than it saves
N_FUSED = 32  # cells that are timed together, where memory and time allow
N_STEPS = 5  # that are timed
N_TIMES = 3  # that a cell alone is timed; the least counts, for whatever else the machine does only adds to it
PROBE_S = 10.0  # that the cells that are timed together may take, about

# keys of a budget on which the seconds of a step depend
PACE = {"batch_size", "precision", "micro_batch", "processes", "ascent_sync"}
CPU_INFO = Path("/proc/cpuinfo")
logger = logging.getLogger("rhobust")


@dataclass(frozen=True, slots=True)
class StepTiming:
    """How long a step takes, on one thread as a worker has it.

    Attributes:
        fused_s: seconds of a step of one cell, its share where cells are trained together; None where not measured.
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
        footprints: what a cell takes, by the key of the setting, of those that are trained fused or on an accelerator.
    """

    executions: dict[str, Execution] = field(default_factory=dict)
    timings: dict[str, StepTiming] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)


def timing_key(setting: Setting, device: str) -> str:
    """Return the hash of all on which the seconds of a step depend: task, rule, base, a step's budget, device.

    Of a task or rule that was added its source as well: another version may be faster, or not be trained fused.
    """
    pace = setting.budget.model_dump(mode="json", include=PACE)
    what = {**setting.to_dict(), "budget": pace}
    source = task_source(setting.task) + optimizer_source(setting.rule)
    versions = {"torch": torch.__version__, **({"source": source} if source else {})}
    return content_hash({**what, "device": device, **versions})


def device_name(device: torch.device) -> str:
    """Return the name of a device as its maker gives it, as far as it is known."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError, StopIteration):
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def choose_execution(
    spec: Spec,
    cells: Iterable[Cell],
    device: torch.device,
    *,
    known: Mapping[str, Execution] | None = None,
    timings: Mapping[str, StepTiming] | None = None,
) -> Choice:
    """Return how the cells of each setting are trained, and what that takes.

    Where the spec leaves it open, a few cells of the setting are trained both ways for a few steps, on one thread as a
    worker has it, and the faster way is taken. What is trained fused is measured whoever chose it, for packs are cut to
    what a cell takes.

    Args:
        spec: its resources may say which way.
        cells: what is to be trained.
        device: on which.
        known: what was chosen before, by the key of the setting; it is kept.
        timings: what was measured before, by `timing_key`; it is not measured again.

    Raises:
        FusionError: where cells that the spec, or an earlier choice, wants trained together can be trained one after
            another only.
    """
    choice = Choice(dict(known or {}))
    by_setting: dict[str, list[Cell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting.key, []).append(cell)
    for key, own in by_setting.items():
        wanted = choice.executions.get(key) or _wanted(spec.resources.pack, len(own))
        choice.executions[key] = _choose(wanted, own, device, timings or {}, choice)
        if choice.executions[key] == "sequential" and device.type != "cpu":
            _measure_alone(own[0], device, spec.sharpness, choice)
    return choice


def probe(
    cells: Iterable[Cell], device: torch.device, known: Mapping[str, StepTiming] = MappingProxyType({})
) -> dict[str, StepTiming]:
    """Train a cell of each setting alone for a few steps, for tables at equal seconds; return how long a step took.

    Args:
        cells: of the settings; one whose cell cannot be trained is left out.
        device: on which.
        known: what was measured before, by `timing_key`; it is not measured again.

    Returns:
        What was measured, by `timing_key`.
    """
    timings: dict[str, StepTiming] = {}
    for cell in {cell.setting.key: cell for cell in cells}.values():
        key = timing_key(cell.setting, device_name(device))
        if key not in known:
            with contextlib.suppress(Exception), one_thread(device):  # its cells will say so one by one
                timings[key] = StepTiming(None, alone_s(cell, device))
    return timings


def probed_s(settings: Iterable[Setting], device: str, timings: Mapping[str, StepTiming]) -> dict[str, float]:
    """Return the seconds of a step of one cell alone, by the key of the setting, as far as they were measured.

    Args:
        settings: whose steps are meant.
        device: its name.
        timings: what was measured, by `timing_key`.
    """
    keys = {setting.key: timing_key(setting, device) for setting in settings}
    return {key: timings[timing].sequential_s for key, timing in keys.items() if timing in timings}


def expected_execution(pack: str | int, setting: Setting, n_cells: int, timing: StepTiming | None) -> Execution | None:
    """Return how cells of a setting will be trained, without measuring anything; None where only a measurement can say.

    Args:
        pack: what the spec says of its packs.
        setting: of the cells.
        n_cells: how many there are to be trained.
        timing: what was measured of the setting before, on the device that will run.
    """
    wanted = _wanted(pack, n_cells)
    if wanted is not None:
        return wanted
    if not can_train_together(load_task(setting.task, setting.task_params), setting):
        return "sequential"
    return None if timing is None or timing.fused_s is None else _faster(timing)


def _wanted(pack: str | int, n_cells: int) -> Execution | None:
    """Return the execution for which nothing needs to be compared, if there is one."""
    if pack == "fused":
        return "fused"
    return "sequential" if pack == "sequential" or n_cells < MIN_CELLS else None


def _choose(
    wanted: Execution | None, cells: Sequence[Cell], device: torch.device, known: Mapping[str, StepTiming], to: Choice
) -> Execution:
    """Return the execution of a setting; write down what was measured for it."""
    setting = cells[0].setting
    if wanted == "sequential":
        return "sequential"
    try:
        task = load_task(setting.task, setting.task_params)
        if wanted is None and not can_train_together(task, setting):
            return "sequential"
        with one_thread(device):
            n_bytes = fused.cell_bytes(task, setting, _run(cells[0]), device=device)
            key = timing_key(setting, device_name(device))
            timing = known.get(key) or to.timings.get(key)
            if timing is None or timing.fused_s is None:
                timing = to.timings[key] = _timed(task, cells, device, n_bytes)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        if wanted is None:
            logger.warning("%s is trained one cell after another: %s", setting.task, words)
            return "sequential"
        if _can_be_trained_alone(cells, device):
            detail = f"{setting.task} with {setting.rule} must be one that can be trained fused, but got {words}"
            raise FusionError(f"{detail.rstrip('.')}. Say pack: auto, or let the task's can_fuse be False.") from error
        return wanted  # the fault is with some cells, which will say so one by one
    if wanted is None:
        wanted = _faster(timing)
        words = "%s with %s: a step of a cell takes %.3f ms fused, %.3f ms one after another: %s"
        logger.info(words, setting.task, setting.rule, 1e3 * (timing.fused_s or 0), 1e3 * timing.sequential_s, wanted)
    if wanted == "fused":
        to.footprints[setting.key] = Footprint((timing.fused_s or 0) * _most_steps(task, cells, device), n_bytes)
    return wanted


def _faster(timing: StepTiming) -> Execution:
    return "fused" if timing.fused_s is not None and timing.fused_s < timing.sequential_s else "sequential"


def _timed(task: Task, cells: Sequence[Cell], device: torch.device, n_bytes: int) -> StepTiming:
    """Train one cell for a few steps, and then as many together as memory, of which each needs so much, allows."""
    setting = cells[0].setting
    sequential_s = alone_s(cells[0], device)
    by_memory = MEMORY_SHARE * free_bytes(device) / max(1, n_bytes)
    by_time = PROBE_S / (2 * N_STEPS + 1) / max(sequential_s, 1e-9)  # the steps that are timed are done twice
    n = max(1, int(min(N_FUSED, by_memory, by_time)))
    while True:
        try:
            runs = list(map(_run, _spread(cells, n)))
            fused_s = fused.step_s(task, setting, runs, device=device, n_steps=N_STEPS)
            return StepTiming(fused_s, sequential_s)
        except Exception as error:
            if n == 1 or not ran_out(error):
                raise
        n //= 2
        give_back(device)


def _spread(cells: Sequence[Cell], n: int) -> Sequence[Cell]:
    """Return at most so many cells from the whole of them."""
    return cells[:: max(1, len(cells) // n)][:n]


def _measure_alone(cell: Cell, device: torch.device, sharpness: Sequence[str], to: Choice) -> None:
    """Write down the memory of a cell of a setting that is trained one cell after another, if it can be trained."""
    with contextlib.suppress(Exception):  # its cells will say so one by one
        with one_thread(device):
            n_bytes = alone_bytes(cell, device, sharpness)
        to.footprints[cell.setting.key] = Footprint(0.0, n_bytes)


def alone_bytes(cell: Cell, device: torch.device, sharpness: Sequence[str]) -> int:
    """Return the bytes of a cell by the plain loop, and of the measures that it takes at its end.

    Args:
        cell: what is trained, for a few steps.
        device: on which.
        sharpness: measures that the cell takes at its end.
    """
    setting = cell.setting
    task = load_task(setting.task, setting.task_params)
    given = task, setting, cell.hyperparameters, cell.seed
    return cell_costs.cell_bytes(*given, device=device, sharpness=sharpness)


def alone_s(cell: Cell, device: torch.device) -> float:
    """Return the seconds of a step of a cell by the plain loop: the least of a few short measurements."""
    setting = cell.setting
    task = load_task(setting.task, setting.task_params)
    given = task, setting, cell.hyperparameters, cell.seed
    return min(cell_costs.step_s(*given, device=device, n_steps=N_STEPS) for _ in range(N_TIMES))


def _can_be_trained_alone(cells: Sequence[Cell], device: torch.device) -> bool:
    """Return whether a step of the plain loop goes well under every seed of those that were trained together."""
    setting = cells[0].setting
    try:
        task = load_task(setting.task, setting.task_params)
        for cell in {cell.seed: cell for cell in _spread(cells, N_FUSED)}.values():
            cell_costs.step_s(task, setting, cell.hyperparameters, cell.seed, device=device, n_steps=1)
    except Exception:  # noqa: BLE001  (whatever a task raises: then the fault is not with fusing)
        return False
    return True


def _most_steps(task: Task, cells: Sequence[Cell], device: torch.device) -> int:
    """Return the number of steps of the longest run; the length of the data is that of the first seed."""
    setting, n_examples = cells[0].setting, len(task.data(cells[0].seed, device).train[0])
    per_step = optimizer_info(setting.rule).gradient_evaluations
    return max(total_steps(setting.budget, n_examples, per_step(cell.hyperparameters)) for cell in cells)


def _run(cell: Cell) -> Run:
    return Run(cell.hyperparameters, cell.seed)


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Run a block on one thread, as a worker has it, and leave no memory of the device taken."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        give_back(device)
