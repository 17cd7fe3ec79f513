"""The two sides of a comparison: read over the seeds that both have, scored alike, and paired cell by cell."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from benchmark.errors import ComparisonError
from benchmark.frame import results_frame
from benchmark.probes import Probe
from benchmark.records import Record
from benchmark.regression.costs import CellCost, cell_costs
from benchmark.robustness import Row, TaskScoring
from benchmark.robustness.build import rows_of
from benchmark.robustness.cells import Cells, read_cells
from benchmark.robustness.common import common_grid
from benchmark.robustness.intervals import weights_for
from benchmark.robustness.reference import NOTHING_LEARNED, Reference, reference_of
from benchmark.robustness.scoring import FloatArray
from benchmark.spec import Spec
from benchmark.tables import grid_infos, scorings

Key = tuple[str, str]  # labels of a task and an optimizer


@dataclass(frozen=True)
class Side:
    """The runs of one job.

    Attributes:
        spec: its cells.
        records: by config_key.
        probes: what a cell took by itself when the job began, by the key of the setting, as far as it was measured.
    """

    spec: Spec
    records: Mapping[str, Record]
    probes: Mapping[str, Probe] = field(default_factory=dict)


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
        rows: the measures of what both sides train.
        cells: its runs as arrays.
        config_keys: of its cells.
        references: of each task, with why it cannot serve, where it cannot.
        y_ref: those that can serve, in raw units.
        costs: what a cell takes by itself.
    """

    rows: Mapping[Key, Row]
    cells: Mapping[Key, Cells]
    config_keys: Mapping[Key, frozenset[str]]
    references: Mapping[str, Reference]
    y_ref: Mapping[str, float]
    costs: Mapping[Key, CellCost]


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
        ComparisonError: where the two have no task, or no seed, in common, and where the baseline has learned nothing
            on a task.
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
    frames = [_kept(side, scored, seeds) for side in (baseline, candidate)]
    mine, theirs = map(_config_keys, frames)
    alike = {key for key in mine if mine[key] == theirs.get(key)}
    weights = weights_for(len(seeds))
    before = _sided(baseline, frames[0], scored, mine, y_ref, alike, weights)
    for scoring in scored:
        reference = before.references[scoring.task]
        if reference.score is not None and reference.problem == NOTHING_LEARNED:
            raise ComparisonError(
                f"a baseline must have learned something to be compared with, but its best score on {scoring.task} is "
                f"{scoring.raw(reference.score):g}, and its floor {scoring.floor:g}."
            )
    after = _sided(candidate, frames[1], scored, theirs, before.y_ref, alike, weights)
    return Both(before, after, {scoring.task: scoring for scoring in scored}, len(seeds))


def read_side(side: Side, y_ref: Mapping[str, float]) -> Sided:
    """Read one side by itself: all of its tasks, optimizers and seeds, without resamples, which values do not need.

    Args:
        side: its spec and records.
        y_ref: reference by task, in raw units; of a task without one the best validation mean of its runs.
    """
    scored = scorings(side.spec)
    frame = _kept(side, scored, side.spec.seeds.values)
    config_keys = _config_keys(frame)
    return _sided(side, frame, scored, config_keys, y_ref, config_keys, weights=None)


def _kept(side: Side, scored: Sequence[TaskScoring], seeds: Sequence[int]) -> pd.DataFrame:
    frame = results_frame(side.spec, side.records)
    is_kept = frame["task"].isin([scoring.task for scoring in scored]) & frame["seed"].isin(seeds)
    return frame[is_kept].reset_index(drop=True)


def _sided(
    side: Side,
    frame: pd.DataFrame,
    scored: Sequence[TaskScoring],
    config_keys: Mapping[Key, frozenset[str]],
    y_ref: Mapping[str, float],
    alike: Container[Key],
    weights: FloatArray | None,
) -> Sided:
    """Return one side, with rows of what both sides train: others would move the grid that their rows have in common.

    Where both have the same grids they have the same common one, and the same runs have the same measures.
    """
    tasks = [scoring.task for scoring in scored]
    grids = [grid for grid in grid_infos(side.spec) if grid.task in tasks]
    rows: dict[Key, Row] = {}
    cells: dict[Key, Cells] = {}
    references: dict[str, Reference] = {}
    known: dict[str, float] = {}
    for task in read_cells(frame, scored, grids):
        reference = references[task.scoring.task] = reference_of(task, y_ref)
        if reference.usable is not None:
            known[task.scoring.task] = task.scoring.raw(reference.usable)
        own = {(one.grid.task, one.grid.optimizer): one for one in task.optimizers}
        cells |= own
        shared = replace(task, optimizers=tuple(one for key, one in own.items() if key in alike))
        for row in rows_of(shared, reference, common_grid(shared.optimizers), weights):
            rows[row.task, row.optimizer] = row
    return Sided(rows, cells, config_keys, references, known, cell_costs(side.spec, side.records, side.probes))


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
