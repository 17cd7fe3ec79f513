"""The reference: the score against which all scores of a task are judged."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.errors import TableError
from benchmark.robustness.cells import TaskCells

NOTHING_LEARNED = "the reference is not above the floor: nothing has been learned"
TINY = 1e-12  # of the scores' size: a reference this near to the floor cannot normalise


@dataclass(frozen=True, slots=True)
class Reference:
    """The oriented score against which a task's scores are judged, and why it cannot serve, where it cannot."""

    score: float | None
    problem: str | None

    @property
    def usable(self) -> float | None:
        """The score where it can serve."""
        return self.score if self.problem is None else None


def reference_of(task: TaskCells, given: Mapping[str, float]) -> Reference:
    """Return the reference of a task: the given one, else the best validation mean over all optimizers.

    Args:
        task: its runs.
        given: references by task, in raw units.

    Raises:
        TableError: for a given one that is not better than the floor.
    """
    scoring, floor = task.scoring, task.scoring.oriented_floor
    if scoring.task in given:
        score = scoring.raw(given[scoring.task])
        if not (np.isfinite(score) and _is_above(score, floor)):
            raise TableError(
                f"a reference must be a number better than the floor, but {scoring.task} has "
                f"y_ref={given[scoring.task]!r}, floor={scoring.floor!r}, goal={scoring.goal}."
            )
        return Reference(score, None)
    means = [cells.validation[cells.complete].mean(axis=1) for cells in task.optimizers if cells.complete.any()]
    if not means:
        return Reference(None, "there is no reference: no configuration is complete")
    score = float(max(mean.max() for mean in means))
    return Reference(score, None if _is_above(score, floor) else NOTHING_LEARNED)


def _is_above(score: float, floor: float) -> bool:
    return score - floor > TINY * max(abs(score), abs(floor))
