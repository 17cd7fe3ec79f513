"""Probes: what a cell of each setting takes by itself when a job begins, for comparisons between jobs.

Cells that are trained together share one clock and one memory; and what they took beside whatever else the machine did
compares nothing. So a job keeps the seconds and the bytes of a cell alone, measured anew by each.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Self

import torch

from benchmark.choice import StepTiming, alone_bytes, alone_s, device_name, one_thread, timing_key
from benchmark.spec import Cell


@dataclass(frozen=True, slots=True)
class Probe:
    """What a cell takes by itself.

    Attributes:
        step_s: seconds of a step of it, on one thread; the least of a few short measurements.
        peak_bytes: of the tensors that it makes, at the most that live at one time.
        device: type of the device.
    """

    step_s: float
    peak_bytes: int
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the probe that `to_dict` wrote."""
        return cls(**document)


def probes_of(
    cells: Iterable[Cell],
    device: torch.device,
    *,
    sharpness: Sequence[str] = (),
    fresh: Mapping[str, StepTiming] = MappingProxyType({}),
) -> dict[str, Probe]:
    """Train a cell of each setting alone for a few steps, and return what it took, by the key of the setting.

    Args:
        cells: of the settings; one whose cell cannot be trained is left out, for its cells will say so one by one.
        device: on which.
        sharpness: measures that the cells take at their end.
        fresh: what was measured just now, by `timing_key`; it is not measured again.
    """
    found: dict[str, Probe] = {}
    for key, cell in {cell.setting.key: cell for cell in cells}.items():
        timing = fresh.get(timing_key(cell.setting, device_name(device)))
        with contextlib.suppress(Exception), one_thread(device):  # whatever a task raises
            step_s = alone_s(cell, device) if timing is None else timing.sequential_s
            found[key] = Probe(step_s, alone_bytes(cell, device, sharpness), device.type)
    return found
