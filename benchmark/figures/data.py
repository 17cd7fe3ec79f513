"""What figures are made of: the runs of a spec or of one's own, how they are scored, and their grids."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import pandas as pd

from benchmark.errors import TableError
from benchmark.frame import results_frame
from benchmark.parsing import unknown_name
from benchmark.records import Record
from benchmark.robustness import GridInfo, TaskScoring, infer_grids
from benchmark.robustness.cells import TaskCells, read_cells
from benchmark.robustness.reference import reference_of
from benchmark.spec import Spec
from benchmark.tables import grid_infos, scorings

FindRecords = Callable[[Collection[str]], Mapping[str, Record]]


@dataclass(frozen=True, eq=False)
class FigureData:
    """Runs to draw; what is made of them is made once, when a figure asks for it.

    Attributes:
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task.
        make_frame: returns a row a run; `benchmark.robustness.columns` says which columns.
        spec: whose cells they are; None for runs of one's own.
        find: returns the records of cells with their curves, by config_key; None for runs of one's own.
        task: label of the task that was asked for; None where none was.
        optimizers: labels of those that were asked for; empty where none were, which means all.
        given: references by task in raw units, where they do not come from these runs.
        pairs: labels of optimizers that are compared with each other, first less second; none for all pairs.
    """

    scorings: tuple[TaskScoring, ...]
    grids: tuple[GridInfo, ...]
    make_frame: Callable[[], pd.DataFrame]
    spec: Spec | None = None
    find: FindRecords | None = None
    task: str | None = None
    optimizers: tuple[str, ...] = ()
    given: Mapping[str, float] | None = None
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_records(cls, spec: Spec, records: Mapping[str, Record]) -> Self:
        """Return the data of a spec and its records by config_key."""

        def find(keys: Collection[str]) -> Mapping[str, Record]:
            return {key: records[key] for key in keys if key in records}

        return cls(scorings(spec), grid_infos(spec), lambda: results_frame(spec, records), spec, find)

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        scored: TaskScoring | Sequence[TaskScoring],
        grids: Sequence[GridInfo] | None = None,
    ) -> Self:
        """Return the data of runs of one's own.

        Args:
            frame: a row a run; `benchmark.robustness.columns` says which columns.
            scored: how each task is scored.
            grids: what was planned; inferred from the frame where not given.

        Raises:
            TableError: where the runs allow no grid, with what is wrong and where.
        """
        given = (scored,) if isinstance(scored, TaskScoring) else tuple(scored)
        return cls(given, infer_grids(frame, given) if grids is None else tuple(grids), lambda: frame)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row a run."""
        return self.make_frame()

    @cached_property
    def tasks(self) -> tuple[TaskCells, ...]:
        """The runs arranged on their grids, task by task."""
        return read_cells(self.frame, self.scorings, self.grids)

    @cached_property
    def y_ref(self) -> Mapping[str, float]:
        """The reference of each task in raw units; without those that have none."""
        if self.given is not None:
            return self.given
        found = {task.scoring: reference_of(task, {}).usable for task in self.tasks}
        return {scoring.task: scoring.raw(score) for scoring, score in found.items() if score is not None}

    def narrowed(self, task: str | None, optimizers: Sequence[str]) -> "FigureData":
        """Return the data of one task, or of some optimizers; the references stay those of all optimizers.

        Args:
            task: label; None keeps all.
            optimizers: labels; none at all keeps all.

        Raises:
            TableError: for a label that there is none of.
        """
        if task is not None and task not in (known := [scoring.task for scoring in self.scorings]):
            raise TableError(unknown_name("task", task, known))
        labels = list(dict.fromkeys(grid.optimizer for grid in self.grids))
        for label in optimizers:
            if label not in labels:
                raise TableError(unknown_name("optimizer", label, labels))
        if task is None and not optimizers:
            return self
        return replace(
            self,
            scorings=tuple(scoring for scoring in self.scorings if task in (None, scoring.task)),
            grids=tuple(
                grid
                for grid in self.grids
                if task in (None, grid.task) and (not optimizers or grid.optimizer in optimizers)
            ),
            make_frame=lambda: self._rows(task, optimizers),
            task=task,
            optimizers=tuple(optimizers),
            given=self.y_ref,
        )

    def _rows(self, task: str | None, optimizers: Sequence[str]) -> pd.DataFrame:
        frame = self.frame if task is None else rows_of_task(self.frame, task)
        return frame[frame["optimizer"].isin(list(optimizers))] if optimizers else frame


def rows_of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the runs of a task; a frame that names none is of one."""
    return frame[frame["task"] == task] if "task" in frame else frame
