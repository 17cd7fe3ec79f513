"""From runs to the robustness table."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from benchmark.errors import TableError
from benchmark.robustness.across import across_tasks
from benchmark.robustness.assemble import assemble_row
from benchmark.robustness.cells import TaskCells, read_cells
from benchmark.robustness.common import common_grid, place
from benchmark.robustness.comparison import differences_of, mark_leaders
from benchmark.robustness.evaluate import Reference, evaluate
from benchmark.robustness.inference import infer_grids
from benchmark.robustness.intervals import MIN_BOOTSTRAP_SEEDS, seed_weights
from benchmark.robustness.rows import Row, View
from benchmark.robustness.scoring import FloatArray, GridInfo, TaskScoring
from benchmark.robustness.table import Missing, MissingCell, Reading, RobustnessTable, TaskSummary

N_FIRST_MISSING = 20
NOTHING_LEARNED = "the reference is not above the floor: nothing has been learned"
TINY = 1e-12  # of the scores' size: a reference this near to the floor cannot normalise


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
        rng: draws the resamples; by default the same for every table with as many seeds.

    Raises:
        TableError: where the runs allow no table, with what is wrong and where.
    """
    given = (scorings,) if isinstance(scorings, TaskScoring) else tuple(scorings)
    tasks = read_cells(frame, given, infer_grids(frame, given) if grids is None else grids)
    references = {task.scoring.task: _reference(task, y_ref or {}) for task in tasks}
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
        tasks=tuple(summary for summary, _ in parts),
        rows=tuple(itertools.chain.from_iterable(rows for _, rows in parts)),
        differences=tuple(itertools.chain.from_iterable(differences_of(rows) for _, rows in parts)),
        across_tasks=across_tasks(tasks, references),
    )


class _Resamples:
    """The weights of the seeds in the resamples, drawn once a number of seeds."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._drawn: dict[int, FloatArray] = {}

    def weights(self, n_seeds: int) -> FloatArray | None:
        if n_seeds < MIN_BOOTSTRAP_SEEDS:
            return None
        if n_seeds not in self._drawn:
            self._drawn[n_seeds] = seed_weights(n_seeds, self._rng or np.random.default_rng(n_seeds))
        return self._drawn[n_seeds]


def _reference(task: TaskCells, given: Mapping[str, float]) -> Reference:
    scoring, floor = task.scoring, task.scoring.oriented_floor
    if scoring.task in given:
        score = scoring.raw(given[scoring.task])
        if not (np.isfinite(score) and score - floor > TINY * max(1.0, abs(floor))):
            raise TableError(
                f"a reference must be a number better than the floor, but {scoring.task} has "
                f"y_ref={given[scoring.task]!r}, floor={scoring.floor!r}, goal={scoring.goal}."
            )
        return Reference(score, None)
    means = [cells.validation[cells.complete].mean(axis=1) for cells in task.optimizers if cells.complete.any()]
    if not means:
        return Reference(None, "there is no reference: no configuration is complete")
    score = float(max(mean.max() for mean in means))
    learned = score - floor > TINY * max(1.0, abs(floor))
    return Reference(score, None if learned else NOTHING_LEARNED)


def _task(
    task: TaskCells, reference: Reference, given: Mapping[str, float], resamples: _Resamples
) -> tuple[TaskSummary, tuple[Row, ...]]:
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
    rows = []
    for cells in task.optimizers:
        where = place(cells, common)
        estimates = evaluate(cells, scoring, reference, where.repeats, weights)
        rows.append(assemble_row(cells, scoring, reference, where, estimates))
    return summary, mark_leaders(_ordered(rows))


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
