"""What is compared of one optimizer on one task: differences with their spread, before any margin."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmark.errors import ComparisonError
from benchmark.regression.changes import Change, Spread, spread_of, with_interval
from benchmark.regression.edges import divergence_edge, place_of_best, step_decades
from benchmark.regression.sides import Both, Key, Pairs, paired
from benchmark.robustness.intervals import LEVEL, Sample
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.scoring import FloatArray

EDGE = "divergence_edge"
PLACES = {"best_lr": "lr", "best_rho": "rho"}  # neither direction of theirs is worse
TESTED = (
    "best",
    "grid_mean",
    "iqm",
    "worst",
    "p10",
    "good_share",
    "diverged_rate",
    "collapsed_rate",
    "expected_best_4",
    "expected_best_16",
    "rho_width_max",
    "rho_width_mean",
    EDGE,
)
LEAST_TOLERANCE = 0.01  # of the way from the floor to the reference, where the tolerance of a task is 0


@dataclass(frozen=True, slots=True)
class Judgeable:
    """A difference with an interval and a direction that is worse.

    Attributes:
        change: with its difference, not yet judged.
        spread: of the difference.
        less_is_worse: whether a negative difference is the worse one.
        yardstick: the difference that begins to matter, in the unit of the measure; positive.
    """

    change: Change
    spread: Spread
    less_is_worse: bool
    yardstick: float

    @property
    def worsening(self) -> float:
        """The difference in yardsticks, more of it the worse."""
        return (-1.0 if self.less_is_worse else 1.0) * (self.change.difference or 0.0) / self.yardstick


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one optimizer on one task.

    Attributes:
        pairs: its cells.
        tests: the measures that can be judged.
        untested: the others, each with its reason.
    """

    pairs: Pairs
    tests: tuple[Judgeable, ...]
    untested: tuple[Change, ...]


def measured(both: Both) -> Iterator[Measured]:
    """Yield what is compared of each optimizer on each task of the baseline."""
    for row in both.before.table.rows:
        key = row.task, row.optimizer
        pairs, problem = paired(both, key)
        if problem is not None:
            names = (*TESTED, *PLACES)
            yield Measured(pairs, (), tuple(Change(*key, name, reason=problem) for name in names))
            continue
        found = [_tested(both, key, name) for name in TESTED] + [_place(both, key, name) for name in PLACES]
        tests = tuple(one for one in found if isinstance(one, Judgeable))
        yield Measured(pairs, tests, tuple(one for one in found if isinstance(one, Change)))


def _tested(both: Both, key: Key, name: str) -> Judgeable | Change:
    change, sample = _edge(both, key) if name == EDGE else _of_rows(both, key, name)
    if sample is None:
        return change
    spread = spread_of(sample)
    if not isinstance(spread, Spread):
        return replace(change, reason=spread.reason)
    less_is_worse = name == EDGE or BY_NAME[name].direction == "higher"
    return Judgeable(change, spread, less_is_worse, _yardstick(both, key, name))


def _of_rows(both: Both, key: Key, name: str) -> tuple[Change, Sample | None]:
    before, after = both.before.row(key), both.after.row(key)
    first, second = before.measures[name], after.measures[name]
    change = Change(*key, name, first.value, second.value)
    if first.value is None or second.value is None:
        return replace(change, reason=first.reason if first.value is None else second.reason), None
    change = replace(change, difference=second.value - first.value)
    if name not in before.samples or name not in after.samples:
        return replace(change, reason="its spread over the seeds is not known"), None
    return change, after.samples[name].minus(before.samples[name])


def _edge(both: Both, key: Key) -> tuple[Change, Sample | None]:
    return _by_seed(key, EDGE, divergence_edge(both.before.cells[key]), divergence_edge(both.after.cells[key]))


def _place(both: Both, key: Key, name: str) -> Change:
    """Return where the best configuration went to."""
    sides = (both.before.cells[key], both.after.cells[key])
    change, sample = _by_seed(key, name, *(place_of_best(cells, PLACES[name]) for cells in sides))
    spread = None if sample is None else spread_of(sample)
    if not isinstance(spread, Spread):
        return change if spread is None else replace(change, reason=spread.reason)
    return replace(with_interval(change, spread, LEVEL), reason="neither direction is worse")


def _by_seed(key: Key, name: str, first: FloatArray | None, second: FloatArray | None) -> tuple[Change, Sample | None]:
    if first is None or second is None:
        return Change(*key, name, reason="it needs a grid along the axis, over positive values"), None
    difference = second - first
    change = Change(*key, name, float(first.mean()), float(second.mean()), float(difference.mean()))
    return change, Sample(difference, None, len(difference))


def _yardstick(both: Both, key: Key, name: str) -> float:
    """Return what begins to matter: the tolerance of a score, one configuration of a share, half a step of an axis."""
    grid, scoring = both.before.cells[key].grid, both.scorings[key[0]]
    unit = "decades" if name == EDGE else BY_NAME[name].unit
    if unit == "share":
        return 1 / grid.n_configurations
    if unit == "decades":
        return (step_decades(grid, "lr" if name == EDGE else "rho") or 1.0) / 2
    reference = next(task.y_ref for task in both.before.table.tasks if task.task == scoring.task)
    if reference is None:
        raise ComparisonError(f"{scoring.task} must have a reference to be compared: no configuration is complete.")
    return scoring.tolerance / abs(reference - scoring.floor) or LEAST_TOLERANCE
