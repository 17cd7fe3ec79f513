"""A driver whose task notes every training that begins, so that a test can count how often cells were trained.

Its module stands where a dispatcher has that of the driver: python -m tests.service.jobs.counted
"""

import os
import sys
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


class CountedParameters(MLPParameters):
    """Those of the task, and the file of the notes."""

    notes: str = ""


class CountedDigits(DigitsMLP):
    """The digits, trained one cell after another; a line of a file says which process began to train."""

    name: ClassVar[str] = "counted-digits"
    Parameters: ClassVar[type[SpecModel]] = CountedParameters
    params: CountedParameters

    def model(self, seed: int) -> nn.Module:
        with Path(self.params.notes).open("a") as notes:
            notes.write(f"{os.getpid()}\n")
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
    return [int(line) for line in notes.read_text().split()]


def register() -> None:
    """Make the task known in this process, under the name that workers import it by."""
    from tests.service.jobs import counted

    register_task(counted.CountedDigits)


if __name__ == "__main__":
    register()
    sys.exit(driver.main())
