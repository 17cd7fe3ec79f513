"""A driver whose task notes every training that begins: tests count how often cells were trained, and where.

Its module stands where a dispatcher has that of the driver: python -m tests.service.jobs.counted
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from benchmark.parsing import SpecModel
from benchmark.tasks import register_task
from benchmark.tasks.classification import MLPParameters
from benchmark.tasks.digits import DigitsMLP
from service.jobs import driver
from tests.service.filling import small_spec

MODULE = "tests.service.jobs.counted"
CLOSED_S = 180.0


class CountedParameters(MLPParameters):
    """Those of the task, and the file of the notes."""

    notes: str = ""


class CountedDigits(DigitsMLP):
    """The digits, trained one cell after another; a line of a file says which process of which session began to train.

    While there is a file `closed` beside it, packs wait; what is trained only to measure it does not.
    """

    name: ClassVar[str] = "counted-digits"
    Parameters: ClassVar[type[SpecModel]] = CountedParameters
    params: CountedParameters

    def model(self, seed: int) -> nn.Module:
        with Path(self.params.notes).open("a") as notes:
            notes.write(f"{os.getpid()} {os.getsid(0) if _is_pack() else 0}\n")
        deadline = time.monotonic() + CLOSED_S
        while _is_pack() and gate(Path(self.params.notes)).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return super().model(seed)

    @property
    def can_fuse(self) -> bool:
        return False

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        return False  # else two hundred models more would be made, and noted


def counted_spec(notes: Path, **changes: Any) -> dict[str, Any]:
    """Return the small spec on this task."""
    notes.touch()
    return small_spec(tasks=[{"name": CountedDigits.name, "params": {"hidden": 8, "notes": str(notes)}}], **changes)


def trainings(notes: Path) -> list[int]:
    """Return the process id of each training that began, in their order."""
    return [int(line.split()[0]) for line in notes.read_text().splitlines()]


def sessions(notes: Path) -> list[int]:
    """Return the id of the session of each training that a pack began; each node of a cluster has one."""
    return [int(session) for _, session in map(str.split, notes.read_text().splitlines()) if session != "0"]


def gate(notes: Path) -> Path:
    """Return the file that holds every training back while it is there."""
    return notes.with_name("closed")


def _is_pack() -> bool:
    """Whether this is the actor of a trial, and no driver or task that measures."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None


def register() -> None:
    """Make the task known in this process, under the name that workers import it by."""
    from tests.service.jobs import counted

    register_task(counted.CountedDigits)


if __name__ == "__main__":
    register()
    sys.exit(driver.main())
