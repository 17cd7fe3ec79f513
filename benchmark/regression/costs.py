"""Time and memory of a cell by itself, before and after: told, and not judged, for one short probe has no interval."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from benchmark.probes import Probe
from benchmark.records import Record, Status
from benchmark.regression.changes import Change
from benchmark.spec import Spec

CELL_S, CELL_BYTES = "cell_s", "cell_bytes"
COSTS = (CELL_S, CELL_BYTES)
NO_INTERVAL = "one short probe has no interval"


@dataclass(frozen=True, slots=True)
class CellCost:
    """What a cell of an optimizer takes by itself.

    Attributes:
        seconds: the steps of a completed cell, times those of one; None where none is completed.
        peak_bytes: of its tensors.
        device: type of the device.
    """

    seconds: float | None
    peak_bytes: int
    device: str


def cell_costs(
    spec: Spec, records: Mapping[str, Record], probes: Mapping[str, Probe]
) -> dict[tuple[str, str], CellCost]:
    """Return what a cell takes by itself, by the labels of task and optimizer, as far as it was probed."""
    if not probes:
        return {}
    steps: dict[str, list[int]] = {}
    for record in records.values():
        if record.setting in probes and record.outcome.status is Status.COMPLETED:
            steps.setdefault(record.setting, []).append(record.outcome.cost.steps)
    found = {}
    for grid in spec.grids:
        key = grid.setting.key
        if key in probes:
            probe = probes[key]
            seconds = fmean(steps[key]) * probe.step_s if key in steps else None
            found[grid.task, grid.optimizer] = CellCost(seconds, probe.peak_bytes, probe.device)
    return found


def cost_changes(key: tuple[str, str], before: CellCost | None, after: CellCost | None) -> Iterator[Change]:
    """Yield how seconds and bytes of a cell changed.

    Args:
        key: labels of task and optimizer.
        before: of the baseline; None where it was not probed.
        after: of the candidate.
    """
    reason = NO_INTERVAL
    if before is None or after is None:
        reason = f"the {'baseline' if before is None else 'candidate'} was not probed when it began"
    elif before.device != after.device:
        reason = f"the baseline was probed on {before.device}, the candidate on {after.device}"
    for name in COSTS:
        first, second = _number(before, name), _number(after, name)
        difference = None if first is None or second is None else second - first
        yield Change(*key, name, first, second, difference, reason=reason)


def _number(cost: CellCost | None, name: str) -> float | None:
    if cost is None:
        return None
    return cost.seconds if name == CELL_S else float(cost.peak_bytes)
