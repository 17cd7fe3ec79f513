"""The whole table: tasks, rows, what is missing, and what holds across tasks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import pandas as pd

from benchmark.errors import TableError
from benchmark.records import Scalar
from benchmark.robustness.choices import Goal, View
from benchmark.robustness.comparison import Difference
from benchmark.robustness.rows import Measure, Row
from benchmark.robustness.scoring import AxisInfo, Design, TaskScoring
from benchmark.robustness.wins import Wins

FAILURES = (
    "A diverged run scores the floor; a collapsed run keeps its score and counts as failed; one that timed out or "
    "failed is missing."
)


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """How the rows of one task were scored.

    Attributes:
        task: label of the task.
        metric: what scores a run.
        goal: which way is better.
        tolerance: in raw units.
        floor: what a diverged run scores, in raw units.
        y_ref: the reference in raw units; None where no configuration is complete.
        y_ref_given: whether the reference came with the request and is not the best of this table.
        n_seeds: number of seeds.
        has_split: whether validation and test scores differ; else one score both picks and reports.
        axes: of the common grid or design; None where there is none.
        design: how its configurations were chosen.
        n_configurations: how many it has; None where there is none.
    """

    task: str
    metric: str
    goal: Goal
    tolerance: float
    floor: float
    y_ref: float | None
    y_ref_given: bool
    n_seeds: int
    has_split: bool
    axes: tuple[AxisInfo, ...] | None
    design: Design
    n_configurations: int | None

    @property
    def scoring(self) -> TaskScoring:
        """How the task is scored."""
        return TaskScoring(self.task, self.metric, self.goal, self.tolerance, self.floor)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain values that JSON can hold."""
        document = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "axes"}
        return {**document, "grid": None if self.axes is None else [axis.to_dict() for axis in self.axes]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the summary that `to_dict` wrote."""
        values = {name: value for name, value in document.items() if name != "grid"}
        grid = document["grid"]
        return cls(**values, axes=None if grid is None else tuple(AxisInfo.from_dict(axis) for axis in grid))


@dataclass(frozen=True, slots=True)
class MissingCell:
    """A planned cell without a result: timed out, failed, or not run."""

    task: str
    optimizer: str
    hyperparameters: Mapping[str, Scalar]
    seed: int
    status: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The cells without a result: how many there are, and the first of them."""

    count: int
    first: tuple[MissingCell, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the runs of one optimizer were read, for a view that its budget does not give by itself.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        amount: what each optimizer of the task is given: steps, gradient evaluations, or seconds of steps.
        first_step: the step at which its runs were read; the earliest where that differs between configurations.
        last_step: the latest.
        n_steps: of the longest run of the task.
    """

    task: str
    optimizer: str
    amount: float
    first_step: int
    last_step: int
    n_steps: int


@dataclass(frozen=True, slots=True)
class AcrossTasks:
    """What holds for one optimizer over all tasks of the table."""

    optimizer: str
    measures: Mapping[str, Measure]


@dataclass(frozen=True, slots=True)
class RobustnessTable:
    """How robust each optimizer is to its hyperparameters on each task.

    Attributes:
        missing: cells without a result.
        fingerprints: of the records behind it, as far as they were given; each task has at least one of its own.
        mixed: whether runs that differ in nothing but hyperparameters and seed were made under different ones.
        view: what is held equal between optimizers; `by_budget` where that differs between tasks.
        readings: where each optimizer was read, where the view was read off curves.
        tasks: how each task was scored.
        rows: task by task; within a task those that are ranked, best grid mean first, then the others as given.
        differences: of all pairs of ranked rows of a task, paired by seed, in the measures that are compared.
        wins: of all pairs of ranked rows of a task, how often the first has the better score in the same cell.
        across_tasks: measures of an optimizer over all tasks.
        notes: sentences by task on how its runs were made and put together.
        version: of this package, whose definitions of the measures hold.
    """

    missing: Missing
    fingerprints: tuple[str, ...]
    mixed: bool
    view: View
    readings: tuple[Reading, ...]
    tasks: tuple[TaskSummary, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    wins: tuple[Wins, ...]
    across_tasks: tuple[AcrossTasks, ...]
    notes: Mapping[str, tuple[str, ...]]
    version: str

    @property
    def complete(self) -> bool:
        """Whether every planned cell has a result."""
        return self.missing.count == 0

    def row(self, task: str, optimizer: str) -> Row:
        """Return one row.

        Raises:
            TableError: where the table has none of these labels.
        """
        for row in self.rows:
            if (row.task, row.optimizer) == (task, optimizer):
                return row
        known = ", ".join(f"{row.optimizer} on {row.task}" for row in self.rows)
        raise TableError(f"the table has no row {optimizer} on {task}; there are: {known}.")

    def rows_of(self, task: str) -> tuple[Row, ...]:
        """Return the rows of one task."""
        return tuple(row for row in self.rows if row.task == task)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values that JSON can hold; nothing in it is NaN or infinite."""
        return {
            "complete": self.complete,
            "missing": {"count": self.missing.count, "first": [asdict(cell) for cell in self.missing.first]},
            "fingerprints": list(self.fingerprints),
            "mixed": self.mixed,
            "view": self.view,
            "readings": [asdict(reading) for reading in self.readings],
            "tasks": [task.to_dict() for task in self.tasks],
            "rows": [row.to_dict() for row in self.rows],
            "differences": [difference.to_dict() for difference in self.differences],
            "wins": [wins.to_dict() for wins in self.wins],
            "across_tasks": [
                {"optimizer": item.optimizer, "measures": {name: one.to_dict() for name, one in item.measures.items()}}
                for item in self.across_tasks
            ],
            "notes": {task: list(notes) for task, notes in self.notes.items()},
            "failures": FAILURES,
            "version": self.version,
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return the table in long form, as `benchmark.robustness.rendering.long_frame` describes."""
        from benchmark.robustness.rendering import long_frame  # rendering is made of tables

        return long_frame(self)

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        from benchmark.robustness.rendering import render_html  # rendering is made of tables

        return render_html(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the table that `to_dict` wrote, without the samples that paired differences need."""
        missing = document["missing"]
        return cls(
            missing=Missing(missing["count"], tuple(MissingCell(**cell) for cell in missing["first"])),
            fingerprints=tuple(document["fingerprints"]),
            mixed=document["mixed"],
            view=document["view"],
            readings=tuple(Reading(**reading) for reading in document["readings"]),
            tasks=tuple(TaskSummary.from_dict(task) for task in document["tasks"]),
            rows=tuple(Row.from_dict(row) for row in document["rows"]),
            differences=tuple(Difference.from_dict(difference) for difference in document["differences"]),
            wins=tuple(Wins.from_dict(wins) for wins in document["wins"]),
            across_tasks=tuple(
                AcrossTasks(item["optimizer"], {name: Measure.from_dict(one) for name, one in item["measures"].items()})
                for item in document["across_tasks"]
            ),
            notes={task: tuple(notes) for task, notes in document["notes"].items()},
            version=document["version"],
        )
