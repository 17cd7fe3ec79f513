"""From runs to the robustness table."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.robustness.across import across_tasks
from benchmark.robustness.assemble import assemble_row
from benchmark.robustness.cells import TaskCells
from benchmark.robustness.choices import View
from benchmark.robustness.common import CommonGrid, common_grid, place
from benchmark.robustness.comparison import Difference, differences_of, mark_leaders, with_ranks
from benchmark.robustness.evaluate import evaluate
from benchmark.robustness.inference import tasks_of
from benchmark.robustness.intervals import weights_for
from benchmark.robustness.reference import Reference, reference_of
from benchmark.robustness.rows import Row
from benchmark.robustness.scoring import FloatArray, GridInfo, TaskScoring
from benchmark.robustness.table import Missing, MissingCell, Reading, RobustnessTable, TaskSummary
from benchmark.robustness.wins import Wins, on_common_grid, paired_wins

N_FIRST_MISSING = 20


def robustness_table(
    frame: pd.DataFrame,
    scorings: TaskScoring | Sequence[TaskScoring],
    grids: Sequence[GridInfo] | None = None,
    *,
    y_ref: Mapping[str, float] | None = None,
    view: View = "equal_steps",
    readings: Iterable[Reading] = (),
    fingerprints: Iterable[str] = (),
    mixed: bool = False,
    notes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    rng: np.random.Generator | None = None,
) -> RobustnessTable:
    """Return the robustness table of runs.

    Args:
        frame: a row a run; `benchmark.robustness.columns` says which columns.
        scorings: how each task is scored.
        grids: what was planned, one an optimizer and task; inferred from the frame where not given.
        y_ref: reference by task, in raw units, as of a baseline; else the best validation mean over all optimizers.
        view: what the frame holds equal between optimizers, to be told in the table.
        readings: where the runs were read for that, to be told in the table.
        fingerprints: of the records behind the frame, to be told in the table.
        mixed: whether runs that differ in nothing but hyperparameters and seed have different ones.
        notes: sentences by task on how its runs were made, to be told in the table.
        rng: draws the resamples; by default the same for every table with as many seeds.

    Raises:
        TableError: where the runs allow no table, with what is wrong and where.
    """
    tasks = tasks_of(frame, scorings, grids)
    references = {task.scoring.task: reference_of(task, y_ref or {}) for task in tasks}
    unknown = sorted(set(y_ref or {}) - set(references))
    if unknown:
        raise TableError(f"a reference must be of a task in the table, but {unknown[0]!r} is none.")
    resamples = _Resamples(rng)
    parts = [_task(task, references[task.scoring.task], y_ref or {}, resamples) for task in tasks]
    return RobustnessTable(
        missing=_missing(tasks),
        fingerprints=tuple(sorted(set(fingerprints))),
        mixed=mixed,
        view=view,
        readings=tuple(readings),
        tasks=tuple(part.summary for part in parts),
        rows=tuple(itertools.chain.from_iterable(part.rows for part in parts)),
        differences=tuple(itertools.chain.from_iterable(part.differences for part in parts)),
        wins=tuple(itertools.chain.from_iterable(part.wins for part in parts)),
        across_tasks=across_tasks(tasks, references),
        notes={task.scoring.task: tuple(notes.get(task.scoring.task, ())) for task in tasks},
        version=version("rhobust"),
    )


def rows_of(task: TaskCells, reference: Reference, common: CommonGrid, weights: FloatArray | None) -> list[Row]:
    """Return the rows of a task by their grid means, best first, not yet compared with each other.

    Args:
        task: its runs.
        reference: of it.
        common: grid of its optimizers.
        weights: of the seeds in each resample; None under ten seeds.
    """
    rows = []
    for cells in task.optimizers:
        where = place(cells, common)
        estimates = evaluate(cells, task.scoring, reference, where.repeats, weights)
        rows.append(assemble_row(cells, task.scoring, reference, where, estimates))
    return _ordered(rows)


class _Resamples:
    """The weights of the seeds in the resamples, drawn once a number of seeds."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._drawn: dict[int, FloatArray | None] = {}

    def weights(self, n_seeds: int) -> FloatArray | None:
        if n_seeds not in self._drawn:
            self._drawn[n_seeds] = weights_for(n_seeds, self._rng)
        return self._drawn[n_seeds]


@dataclass(frozen=True, slots=True)
class _Part:
    """What the table says of one task."""

    summary: TaskSummary
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    wins: tuple[Wins, ...]


def _task(task: TaskCells, reference: Reference, given: Mapping[str, float], resamples: _Resamples) -> _Part:
    scoring = task.scoring
    common = common_grid(task.optimizers)
    summary = TaskSummary(
        task=scoring.task,
        metric=scoring.metric,
        goal=scoring.goal,
        tolerance=scoring.tolerance,
        floor=scoring.floor,
        y_ref=None if reference.score is None else scoring.raw(reference.score),
        y_ref_given=scoring.task in given,
        n_seeds=len(task.seeds),
        has_split=task.has_split,
        axes=common.axes,
        design=common.design,
        n_configurations=None if common.axes is None else common.n_configurations,
    )
    weights = resamples.weights(len(task.seeds))
    ordered = with_ranks(mark_leaders(rows_of(task, reference, common, weights)))
    ranked = [row.optimizer for row in ordered if row.ranked]
    scores = {
        cells.grid.optimizer: on_common_grid(cells, common)
        for cells in task.optimizers
        if cells.grid.optimizer in ranked
    }
    return _Part(
        summary,
        ordered,
        differences_of(ordered, _normalised_tolerance(scoring, reference)),
        tuple(paired_wins(scoring.task, *pair, scores, weights) for pair in itertools.combinations(ranked, 2)),
    )


def _normalised_tolerance(scoring: TaskScoring, reference: Reference) -> float | None:
    if reference.score is None or reference.problem is not None:
        return None
    return scoring.tolerance / (reference.score - scoring.oriented_floor)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    def key(row: Row) -> tuple[bool, float]:
        level = row.measures["grid_mean"].value
        return not row.ranked, 0.0 if level is None or not row.ranked else -level

    return sorted(rows, key=key)


def _missing(tasks: Sequence[TaskCells]) -> Missing:
    every = [cells for task in tasks for cells in task.optimizers]
    first = itertools.islice(((cells, *cell) for cells in every for cell in cells.missing()), N_FIRST_MISSING)
    return Missing(
        sum(cells.n_missing for cells in every),
        tuple(
            MissingCell(cells.grid.task, cells.grid.optimizer, cells.grid.hyperparameters(configuration), seed, status)
            for cells, configuration, seed, status in first
        ),
    )
