"""The second wave: radius-matched controls, each trained at the mean radius that its finished partner had."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from benchmark.canonical import round_significant
from benchmark.execution import Execution, cell_fingerprint, failed_record
from benchmark.records import PackPlace, Record, Status
from benchmark.sink import Sink
from benchmark.spec import Cell

Unmatched = tuple[Cell, Status, str]
"""A control that cannot be trained, how its record says so, and why."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Controls as their partners stand.

    Attributes:
        ready: with the radius at which they are to be trained.
        waiting: their partners have no record yet.
        unmatched: their partners have one, and no radius.
    """

    ready: list[Cell] = field(default_factory=list)
    waiting: list[Cell] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)


def match(cells: Iterable[Cell], records: Mapping[str, Record]) -> Matched:
    """Return the controls among some cells, each with the mean norm of its partner's perturbations as its radius.

    The mean is over the partner's whole run. Where that diverged it is over the steps before, and 0 where there was
    none: then M-SAM never perturbed anything. A partner that failed or timed out gives no radius, and its control none
    either: it gets a record of the same status, so that a retry trains both.

    Args:
        cells: those that are no controls are left out.
        records: of the partners, by config_key.
    """
    found = Matched()
    for cell in cells:
        record = records.get(cell.partner or "")
        if record is None:
            found.waiting.extend([cell] if cell.partner else [])
            continue
        outcome, mean = record.outcome, record.outcome.diagnostics.mean_delta
        partner = f"the M-SAM cell whose radius this control takes ({record.config_key}, record {record.id})"
        if not outcome.status.is_result:
            words = f"{partner} has none, for it is {outcome.status}: {outcome.error or 'limits.cell_s was used up'}"
            found.unmatched.append((cell, outcome.status, words))
        elif mean is None:
            words = f"{partner} has none, for its record is of an older version; say reuse: false in a new job"
            found.unmatched.append((cell, Status.FAILED, words))
        else:
            found.ready.append(replace(cell, radius=round_significant(mean)))
    return found


def give_up(
    unmatched: Sequence[Unmatched], sink: Sink, device: torch.device, executions: Mapping[str, Execution]
) -> None:
    """Hand over the records of controls that cannot be trained.

    Args:
        unmatched: the controls.
        sink: takes the records.
        device: on which they would have been trained.
        executions: how they would have been trained, by the key of their setting.
    """
    known: set[str] = set()
    for cell, status, reason in unmatched:
        execution = executions[cell.setting.key]
        made_by = cell_fingerprint(cell, device, execution)
        if made_by.key not in known:
            sink.on_fingerprint(made_by)
            known.add(made_by.key)
        sink.on_records([failed_record(cell, PackPlace("unmatched", 1, 0), device, reason, execution, status)])
