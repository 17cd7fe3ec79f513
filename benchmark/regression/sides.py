"""The two sides of a comparison: read over the seeds that both have, scored alike, and paired cell by cell."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from benchmark.errors import ComparisonError
from benchmark.frame import results_frame
from benchmark.records import Record
from benchmark.robustness import RobustnessTable, Row, TaskScoring, robustness_table
from benchmark.robustness.cells import Cells, read_cells
from benchmark.spec import Spec
from benchmark.tables import grid_infos, scorings

Key = tuple[str, str]  # labels of a task and an optimizer


@dataclass(frozen=True)
class Side:
    """The runs of one job.

    Attributes:
        spec: its cells.
        records: by config_key.
    """

    spec: Spec
    records: Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The cells of one optimizer on one task, paired by configuration and seed.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        n: cells with a score on both sides.
        n_identical: how many of them have the same validation and test score to the last bit.
        mean_difference: of the test scores, candidate less baseline, in raw units, a diverged run at the floor; None
            where there are none.
        worse_share: share of the cells in which the candidate has the worse test score; of ties a half counts.
    """

    task: str
    optimizer: str
    n: int
    n_identical: int
    mean_difference: float | None
    worse_share: float | None


@dataclass(frozen=True, slots=True)
class Sided:
    """One side over the seeds that both have.

    Attributes:
        table: of its runs.
        cells: its runs as arrays.
        config_keys: of its cells.
    """

    table: RobustnessTable
    cells: Mapping[Key, Cells]
    config_keys: Mapping[Key, frozenset[str]]

    def row(self, key: Key) -> Row:
        """Return the row of an optimizer on a task."""
        return self.table.row(*key)


@dataclass(frozen=True, slots=True)
class Both:
    """A baseline and a candidate, scored as the baseline's tasks say and against its reference.

    Attributes:
        before: the baseline, on the tasks that both have.
        after: the candidate.
        scorings: by task.
        n_seeds: that both have.
    """

    before: Sided
    after: Sided
    scorings: Mapping[str, TaskScoring]
    n_seeds: int


def read_both(baseline: Side, candidate: Side, y_ref: Mapping[str, float]) -> Both:
    """Read the two sides of a comparison.

    Args:
        baseline: what was.
        candidate: what is.
        y_ref: reference by task, in raw units; of a task without one the best validation mean of the baseline's runs.

    Raises:
        ComparisonError: where the two have no task, or no seed, in common.
    """
    tasks = [grid.task for grid in candidate.spec.grids]
    scored = [scoring for scoring in scorings(baseline.spec) if scoring.task in tasks]
    if not scored:
        own = ", ".join(scoring.task for scoring in scorings(baseline.spec))
        raise ComparisonError(
            f"baseline and candidate must share a task, but the baseline has {own} and the candidate "
            f"{', '.join(dict.fromkeys(tasks))}."
        )
    seeds = sorted(set(baseline.spec.seeds.values) & set(candidate.spec.seeds.values))
    if not seeds:
        first, second = (f"{min(s)} to {max(s)}" for s in (baseline.spec.seeds.values, candidate.spec.seeds.values))
        raise ComparisonError(
            f"baseline and candidate must share seeds, but the baseline has {first} and the candidate {second}."
        )
    before = _sided(baseline, scored, seeds, y_ref)
    references = {task.task: task.y_ref for task in before.table.tasks if task.y_ref is not None}
    after = _sided(candidate, scored, seeds, references)
    return Both(before, after, {scoring.task: scoring for scoring in scored}, len(seeds))


def _sided(side: Side, scored: list[TaskScoring], seeds: list[int], y_ref: Mapping[str, float]) -> Sided:
    frame = results_frame(side.spec, side.records)
    tasks = [scoring.task for scoring in scored]
    kept = frame[frame["task"].isin(tasks) & frame["seed"].isin(seeds)].reset_index(drop=True)
    grids = [grid for grid in grid_infos(side.spec) if grid.task in tasks]
    given = {task: value for task, value in y_ref.items() if task in tasks}
    table = robustness_table(kept, scored, grids, y_ref=given)
    every = [one for task in read_cells(kept, scored, grids) for one in task.optimizers]
    return Sided(table, {(one.grid.task, one.grid.optimizer): one for one in every}, _config_keys(kept))


def _config_keys(frame: pd.DataFrame) -> dict[Key, frozenset[str]]:
    grouped = frame.groupby(["task", "optimizer"], sort=False)["config_key"]
    return {(str(task), str(optimizer)): frozenset(keys) for (task, optimizer), keys in grouped}


def paired(both: Both, key: Key) -> tuple[Pairs, str | None]:
    """Return the pairs of an optimizer on a task, and why its measures cannot be compared, where they cannot."""
    one, other = both.before.cells[key], both.after.cells.get(key)
    if other is None:
        return Pairs(*key, 0, 0, None, None), "the candidate does not have this optimizer on this task"
    if one.grid.is_adaptive or other.grid.is_adaptive:
        return Pairs(*key, 0, 0, None, None), "an adaptive search tries other configurations each time"
    mine, theirs = both.before.config_keys[key], both.after.config_keys[key]
    if mine != theirs:
        reason = f"the two do not train the same: the candidate has {len(mine & theirs)} of the {len(mine)} cells"
        return Pairs(*key, 0, 0, None, None), reason
    scored = one.is_result & other.is_result
    n_missing = int((~scored).sum())
    problem = f"{n_missing} of {scored.size} cells have no result on both sides" if n_missing else None
    if n_missing == scored.size:
        return Pairs(*key, 0, 0, None, None), problem
    first, second = one.test[scored], other.test[scored]
    same = (first == second) & (one.validation[scored] == other.validation[scored])
    pairs = Pairs(
        *key,
        n=scored.size - n_missing,
        n_identical=int(same.sum()),
        mean_difference=both.scorings[key[0]].raw(float((second - first).mean())),
        worse_share=float((second < first).mean() + (second == first).mean() / 2),
    )
    return pairs, problem
