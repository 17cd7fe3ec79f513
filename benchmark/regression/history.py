"""What one run measured, kept so that runs of years can be laid side by side; and where their levels changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmark.regression.change_points import shifts
from benchmark.regression.comparison import Comparison
from benchmark.regression.edges import divergence_edge
from benchmark.regression.measuring import EDGE, TESTED, less_is_worse, yardstick
from benchmark.regression.sides import Key, Side, Sided, read_side
from benchmark.robustness.scoring import TaskScoring
from benchmark.tables import scorings

Nested = Mapping[str, Mapping[str, Mapping[str, float | None]]]  # by labels of task and optimizer, and by measure


@dataclass(frozen=True, slots=True)
class RunMeasures:
    """What one run measured.

    Attributes:
        y_ref: reference by task, in raw units, against which it was measured; of a task on which nothing was learned,
            none.
        values: of every measure of every optimizer on every task; None where it is not defined, or where cells lack a
            result, so that what changed could be what is missing.
        margins: of each value the change that begins to matter, positive; None where a task has no reference.
    """

    y_ref: Mapping[str, float]
    values: Nested
    margins: Nested


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A measure that went to another level and stayed there for a while.

    Attributes:
        index: of the first run of the new level.
        task: label of the task.
        optimizer: label of the optimizer.
        name: of the measure.
        before: mean of the old level, in the unit of the measure.
        after: mean of the new one.
        is_worse: whether the new one is the worse.
    """

    index: int
    task: str
    optimizer: str
    name: str
    before: float
    after: float
    is_worse: bool


def run_measures(
    side: Side, y_ref: Mapping[str, float] = MappingProxyType({}), comparison: Comparison | None = None
) -> RunMeasures:
    """Return what a run measured.

    Args:
        side: its spec and records.
        y_ref: reference by task, in raw units: always the same one, or values of several runs cannot be laid side by
            side; of a task without one the best validation mean of this run.
        comparison: of the run with a baseline, whose margins are taken where it has some.
    """
    scored = {scoring.task: scoring for scoring in scorings(side.spec)}
    read = read_side(side, y_ref)
    known = {} if comparison is None else {(one.task, one.optimizer, one.name): one for one in comparison.measures}
    values: dict[str, dict[str, dict[str, float | None]]] = {}
    margins: dict[str, dict[str, dict[str, float | None]]] = {}
    for key in read.cells:
        found = values.setdefault(key[0], {})[key[1]] = _values(read, key)
        units = margins.setdefault(key[0], {})[key[1]] = _yardsticks(read, key, scored[key[0]])
        units |= {
            name: change.margin for name in found if (change := known.get((*key, name))) is not None and change.margin
        }
    return RunMeasures(read.y_ref, values, margins)


def level_changes(runs: Sequence[RunMeasures]) -> tuple[LevelChange, ...]:
    """Return where the levels of measures changed, by run.

    Args:
        runs: of one spec, in the order of time.
    """
    found = [change for name in _names(runs) for change in _changes(runs, *name)]
    return tuple(sorted(found, key=lambda change: (change.index, change.task, change.optimizer)))


def _values(read: Sided, key: Key) -> dict[str, float | None]:
    row, cells = read.rows[key], read.cells[key]
    if not cells.complete.all():
        return dict.fromkeys(TESTED)
    edge = divergence_edge(cells)
    at_edge = None if edge is None else float(edge.mean())
    return {name: at_edge if name == EDGE else row.measures[name].value for name in TESTED}


def _yardsticks(read: Sided, key: Key, scoring: TaskScoring) -> dict[str, float | None]:
    reference = read.y_ref.get(key[0])
    if reference is None:
        return dict.fromkeys(TESTED)
    return {name: yardstick(name, read.cells[key].grid, scoring, reference) for name in TESTED}


def _names(runs: Sequence[RunMeasures]) -> list[tuple[str, str, str]]:
    found = {
        (task, optimizer, name): None
        for run in runs
        for task, optimizers in run.values.items()
        for optimizer, values in optimizers.items()
        for name in values
    }
    return list(found)


def _changes(runs: Sequence[RunMeasures], task: str, optimizer: str, name: str) -> list[LevelChange]:
    values = [_of(run.values, task, optimizer, name) for run in runs]
    margin = next((known for run in reversed(runs) if (known := _of(run.margins, task, optimizer, name))), None)
    if margin is None:
        return []
    worse = less_is_worse(name)
    return [
        LevelChange(one.index, task, optimizer, name, one.before, one.after, (one.after < one.before) == worse)
        for one in shifts(values, margin)
    ]


def _of(nested: Nested, task: str, optimizer: str, name: str) -> float | None:
    return nested.get(task, {}).get(optimizer, {}).get(name)
