"""What is compared of one optimizer on one task: differences with their spread, before any margin."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Self

from benchmark.errors import ComparisonError
from benchmark.regression.changes import Change
from benchmark.regression.costs import cost_changes
from benchmark.regression.edges import divergence_edge, place_of_best, step_decades
from benchmark.regression.sides import Both, Key, Pairs, paired
from benchmark.regression.spreads import Spread, spread_of, with_interval
from benchmark.robustness.intervals import LEVEL, Sample
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.scoring import FloatArray, GridInfo, TaskScoring

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
    def least_worsening(self) -> float:
        """The lower end of the interval of the worsening, in yardsticks: what a margin is compared with."""
        worsening = (-1.0 if self.less_is_worse else 1.0) * (self.change.difference or 0.0)
        return (worsening - self.spread.half(LEVEL)) / self.yardstick


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

    def restricted(self, only: Collection[str]) -> Self:
        """Return it with these measures alone to be judged, by name."""
        others = [test.change for test in self.tests if test.change.name not in only]
        left_out = tuple(replace(change, reason="it is not among the measures that are asked for") for change in others)
        tests = tuple(test for test in self.tests if test.change.name in only)
        return replace(self, tests=tests, untested=(*self.untested, *left_out))


def measured(both: Both) -> Iterator[Measured]:
    """Yield what is compared of each optimizer on each task of the baseline."""
    for key in dict.fromkeys((*both.before.rows, *both.before.cells)):
        costs = tuple(cost_changes(key, both.before.costs.get(key), both.after.costs.get(key)))
        pairs, problem = paired(both, key)
        if problem is not None:
            names = (*TESTED, *PLACES)
            yield Measured(pairs, (), (*(Change(*key, name, reason=problem) for name in names), *costs))
            continue
        found = [_tested(both, key, name) for name in TESTED] + [_place(both, key, name) for name in PLACES]
        tests = tuple(one for one in found if isinstance(one, Judgeable))
        yield Measured(pairs, tests, (*(one for one in found if isinstance(one, Change)), *costs))


def _tested(both: Both, key: Key, name: str) -> Judgeable | Change:
    change, sample = _edge(both, key) if name == EDGE else _of_rows(both, key, name)
    if sample is None:
        return change
    spread = spread_of(sample)
    if not isinstance(spread, Spread):
        return replace(change, reason=spread.reason)
    reference = both.before.y_ref.get(key[0])
    unit = yardstick(name, both.before.cells[key].grid, both.scorings[key[0]], reference)
    return Judgeable(change, spread, less_is_worse(name), unit)


def _of_rows(both: Both, key: Key, name: str) -> tuple[Change, Sample | None]:
    before, after = both.before.rows[key], both.after.rows[key]
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


def yardstick(name: str, grid: GridInfo, scoring: TaskScoring, reference: float | None) -> float:
    """Return what begins to matter: the tolerance of a score, one configuration of a share, half a step of an axis.

    Args:
        name: of the measure.
        grid: of the optimizer.
        scoring: of the task.
        reference: of the task, in raw units.

    Raises:
        ComparisonError: for a score without a reference.
    """
    unit = "decades" if name == EDGE else BY_NAME[name].unit
    if unit == "share":
        return 1 / grid.n_configurations
    if unit == "decades":
        return (step_decades(grid, "lr" if name == EDGE else "rho") or 1.0) / 2
    if reference is None:
        raise ComparisonError(f"{scoring.task} must have a reference to be compared: no configuration is complete.")
    return scoring.tolerance / abs(reference - scoring.floor) or LEAST_TOLERANCE


def less_is_worse(name: str) -> bool:
    """Whether less of a measure is the worse."""
    return name == EDGE or BY_NAME[name].direction == "higher"
