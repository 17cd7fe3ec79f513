"""The plan of a spec: its price, and what of it the dispatcher that would claim it lets one foresee."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import torch

from benchmark import Spec
from benchmark.choice import StepTiming, expected_execution, timing_key
from benchmark.execution import Execution, cell_fingerprint
from benchmark.fingerprint import own_making
from benchmark.packs import Footprint, cut, in_order, most_of, plan_packs
from benchmark.plan import GridPrice, price
from benchmark.sharpness import columns_of
from benchmark.spec import Cell, expand
from service.jobs.dispatcher import ALIVE_WITHIN_S
from service.store import Dispatcher, Store

NO_DISPATCHER = "no dispatcher is alive to say on which device it would run; start one with `rhobust worker`"
OTHER_SOURCE = "the dispatcher has other source or versions than this server, which cannot tell what it would reuse"
ON_A_CLUSTER = "the cluster says which devices and how many workers it has when the job begins"
NOT_MEASURED = "fused or one after another is decided by a short measurement when the job begins"
NOT_TIMED = "packs that are trained fused are cut by a short measurement when the job begins"
NO_PAST = "nothing like it was ever trained or timed on this device"
ADAPTIVE = "the configurations of an adaptive search are not known ahead"
CONTROLS = "a control is reused by the radius that its M-SAM cell had, which is not known ahead"
ON_A_GPU = "how many packs an accelerator takes at once is decided by its memory when the job begins"


@dataclass
class Estimate:
    """What a job would take.

    Attributes:
        prices: of each grid.
        reused: cells that would be taken over.
        packs: trials of Ray Tune.
        execution: by task and optimizer, as far as it is known.
        elapsed_s: seconds of training by all workers together, without the start of Ray.
        reasons: why something is not known.
    """

    prices: tuple[GridPrice, ...]
    reused: int | None = None
    packs: int | None = None
    execution: dict[str, dict[str, Execution]] | None = None
    elapsed_s: float | None = None
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Host:
    """The dispatcher that would claim the job, with the device that it would use."""

    dispatcher: Dispatcher
    device: torch.device
    device_name: str
    n_workers: int


def estimate(spec: Spec, store: Store, kept: Collection[str] = ()) -> Estimate:
    """Return what a job would take if it were submitted now.

    Args:
        spec: of the job.
        store: with the dispatchers, and the records of earlier jobs.
        kept: config_keys of cells that it has already, where it is to be extended.

    Raises:
        TaskDataError: when the data of a task is not there.
    """
    found = Estimate(price(spec))
    host = _host(spec, store, found.reasons)
    if host is None:
        return found
    timings = _timings(spec, store, host)
    executions = _executions(spec, timings)
    found.execution = {}
    for grid in spec.grids:
        execution = executions[grid.setting.key]
        if execution is not None:
            found.execution.setdefault(grid.task, {})[grid.optimizer] = execution
    if None in executions.values():
        found.reasons.append(NOT_MEASURED)
    known = {key: execution for key, execution in executions.items() if execution is not None}
    left = _left(spec, store, host, known, frozenset(kept), found)
    _count_packs(spec, host, known, timings, left, found)
    _add_up_seconds(spec, store, host, known, timings, left, found)
    found.reasons = list(dict.fromkeys(found.reasons))
    return found


def _host(spec: Spec, store: Store, reasons: list[str]) -> _Host | None:
    alive = sorted(store.dispatchers(ALIVE_WITHIN_S), key=lambda one: one.job_id is not None)
    if not alive:
        reasons.append(NO_DISPATCHER)
        return None
    resources = alive[0].resources
    if resources.get("ray_address") or not resources.get("devices"):
        reasons.append(ON_A_CLUSTER)
        return None
    kinds = sorted(resources["devices"], key=lambda kind: kind == "cpu")
    kind = "cpu" if spec.resources.gpus_per_pack == 0 else kinds[0]
    n_workers = max(1, int(resources["cpus"] / spec.resources.cpus_per_pack))
    n_workers = min(n_workers, spec.resources.max_concurrent or n_workers)
    return _Host(alive[0], torch.device(kind), resources["devices"][kind], n_workers)


def _timings(spec: Spec, store: Store, host: _Host) -> dict[str, StepTiming]:
    """Return what was timed, by the key of the setting."""
    keys = {grid.setting.key: timing_key(grid.setting, host.device_name) for grid in spec.grids}
    known = store.timings(list(keys.values()))
    return {setting: known[key] for setting, key in keys.items() if key in known}


def _executions(spec: Spec, timings: dict[str, StepTiming]) -> dict[str, Execution | None]:
    """Return how the cells of each setting, which several optimizers may share, will be trained."""
    settings = {grid.setting.key: grid.setting for grid in spec.grids}
    n_cells = dict.fromkeys(settings, 0)
    for grid in spec.grids:  # of an adaptive search one configuration is seen when the choice is made
        n_cells[grid.setting.key] += spec.seeds.count * (1 if grid.is_adaptive else grid.n_configurations)
    return {
        key: expected_execution(spec.resources.pack, setting, n_cells[key], timings.get(key))
        for key, setting in settings.items()
    }


def _left(
    spec: Spec,
    store: Store,
    host: _Host,
    executions: dict[str, Execution],
    kept: frozenset[str],
    found: Estimate,
) -> dict[tuple[str, str], int]:
    """Count what would be reused; return how many cells are left to each optimizer on each task."""
    left = {(one.task, one.optimizer): one.n_cells for one in found.prices}
    if kept:
        for cell in expand(spec):
            left[cell.task, cell.optimizer] -= cell.key in kept
    if not spec.reuse:
        found.reused = len(kept)
        return left
    if host.dispatcher.resources.get("made_by") != own_making():
        found.reasons.append(OTHER_SOURCE)
        return left
    if any(grid.is_adaptive for grid in spec.grids):
        found.reasons.append(ADAPTIVE)
    if any(grid.partner for grid in spec.grids):
        found.reasons.append(CONTROLS)
    reused = len(kept)
    for grid in spec.grids:
        if grid.partner:
            continue
        execution = executions.get(grid.setting.key)
        cells = [cell for cell in grid.cells(spec.seeds.values) if cell.key not in kept]
        if execution is None or not cells:
            continue
        key = cell_fingerprint(cells[0], host.device, execution).key
        n = store.count_reusable(key, [cell.key for cell in cells], columns_of(spec.sharpness))
        reused += n
        left[grid.task, grid.optimizer] -= n
    is_known = not found.reasons
    found.reused = reused if is_known else None
    return left


def _count_packs(
    spec: Spec,
    host: _Host,
    executions: dict[str, Execution],
    timings: dict[str, StepTiming],
    left: dict[tuple[str, str], int],
    found: Estimate,
) -> None:
    if host.device.type != "cpu":
        found.reasons.append(ON_A_GPU)
        return
    if any(grid.setting.key not in executions for grid in spec.grids):
        return
    fused = {key for key, execution in executions.items() if execution == "fused"}
    most = {}
    for grid, one in zip(spec.grids, found.prices, strict=True):
        timing = timings.get(grid.setting.key)
        if timing is not None and timing.fused_s is not None:
            most[grid.setting.key] = Footprint(timing.fused_s * one.steps / one.n_cells, 0).most_cells(0)
    if not fused <= most.keys():
        found.reasons.append(NOT_TIMED)
        return
    size = spec.resources.pack if isinstance(spec.resources.pack, int) else None
    cells = in_order(_some(expand(spec), left), fused)
    waves = [[cell for cell in cells if (cell.partner is not None) is second] for second in (False, True)]
    found.packs = sum(
        len(plan_packs(wave, n_workers=host.n_workers, size=size, fused=fused, most=most)) for wave in waves
    )
    for grid in spec.grids:
        if grid.is_adaptive:
            limit = most_of(grid.setting.key, size=size, fused=fused, most=most)
            found.packs += grid.n_configurations * len(cut(0, spec.seeds.count, limit))


def _some(cells: Iterable[Cell], left: dict[tuple[str, str], int]) -> list[Cell]:
    """Return as many cells of each optimizer and task as are left: which of them does not matter for packs."""
    remaining = dict(left)
    kept = []
    for cell in cells:
        place = (cell.task, cell.optimizer)
        if remaining[place] > 0:
            remaining[place] -= 1
            kept.append(cell)
    return kept


def _add_up_seconds(
    spec: Spec,
    store: Store,
    host: _Host,
    executions: dict[str, Execution],
    timings: dict[str, StepTiming],
    left: dict[tuple[str, str], int],
    found: Estimate,
) -> None:
    if host.device.type != "cpu":
        return
    total = 0.0
    for grid, one in zip(spec.grids, found.prices, strict=True):
        execution = executions.get(grid.setting.key)
        if execution is None:
            return
        share = left[grid.task, grid.optimizer] / one.n_cells
        pace = store.seconds_per_evaluation(grid.setting, host.device.type, execution) if share > 0 else 0.0
        timing = timings.get(grid.setting.key)
        step_s = None if timing is None else timing.fused_s if execution == "fused" else timing.sequential_s
        if pace is not None:
            total += share * one.gradient_evaluations * pace
        elif step_s is not None:
            total += share * one.steps * step_s
        else:
            found.reasons.append(NO_PAST)
            return
    n_at_once = host.n_workers if found.packs is None else min(host.n_workers, max(1, found.packs))
    found.elapsed_s = total / n_at_once
