"""A driver whose task takes its time, and has its cells checkpointed twice a second.

Its module stands where a dispatcher has that of the driver: python -m tests.service.jobs.kept
"""

import sys
import time
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from benchmark import flight
from benchmark.parsing import SpecModel
from benchmark.tasks import Batch, Model, register_task
from benchmark.tasks.classification import MLPParameters
from benchmark.tasks.digits import DigitsMLP
from service.jobs import driver

MODULE = "tests.service.jobs.kept"
KEEP_S, LOSS_S = 0.5, 0.02


class KeptParameters(MLPParameters):
    """Those of the task, and the file of the notes."""

    notes: str = ""


class KeptDigits(DigitsMLP):
    """The digits, trained one cell after another; a file has as many bytes as gradients were asked for."""

    name: ClassVar[str] = "kept-digits"
    Parameters: ClassVar[type[SpecModel]] = KeptParameters
    params: KeptParameters

    def model(self, seed: int) -> nn.Module:
        flight.CHECKPOINT_S = KEEP_S  # in the process of a worker, which nobody else has
        return super().model(seed)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        with Path(self.params.notes).open("ab") as notes:
            notes.write(b".")
        time.sleep(LOSS_S)
        return super().loss(model, batch)

    @property
    def can_fuse(self) -> bool:
        return False


def register() -> None:
    """Make the task known in this process, under the name that workers import it by."""
    from tests.service.jobs import kept

    register_task(kept.KeptDigits)


if __name__ == "__main__":
    register()
    sys.exit(driver.main())
