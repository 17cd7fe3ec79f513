"""A baseline and a candidate compared: every measure of every optimizer, paired by configuration and seed."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Self

from benchmark.errors import ComparisonError
from benchmark.regression.changes import Change
from benchmark.regression.limits import Limits
from benchmark.regression.measuring import measured
from benchmark.regression.sides import Pairs, Side, read_both
from benchmark.regression.spreads import judged
from benchmark.regression.verdicts import Verdict
from benchmark.robustness.intervals import LEVEL

WORST_FIRST = (Verdict.REGRESSED, Verdict.UNDECIDED, Verdict.IMPROVED, Verdict.SAME)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between a baseline and a candidate.

    Attributes:
        pairs: of each optimizer and task of the baseline, what was paired.
        measures: the change of each measure of each optimizer on each task.
        n_seeds: that both have.
        is_calibrated: whether the margins come from replays of the baseline; else each is its yardstick.
        correction: how it was allowed for that many measures are tested at once.
    """

    pairs: tuple[Pairs, ...]
    measures: tuple[Change, ...]
    n_seeds: int
    is_calibrated: bool
    correction: str

    @property
    def verdict(self) -> Verdict:
        """The worst that is said of any measure: regressed, then undecided, improved, and same."""
        found = {change.verdict for change in self.measures}
        return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.NOT_TESTED)

    def with_verdict(self, verdict: Verdict) -> tuple[Change, ...]:
        """Return the changes on which that is the verdict."""
        return tuple(change for change in self.measures if change.verdict is verdict)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values that JSON can hold."""
        return {
            "verdict": str(self.verdict),
            "pairs": [asdict(one) for one in self.pairs],
            "measures": [change.to_dict() for change in self.measures],
            "n_seeds": self.n_seeds,
            "is_calibrated": self.is_calibrated,
            "correction": self.correction,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the comparison that `to_dict` wrote."""
        values = {name: value for name, value in document.items() if name != "verdict"}
        pairs = tuple(Pairs(**one) for one in document["pairs"])
        measures = tuple(Change.from_dict(one) for one in document["measures"])
        return cls(**{**values, "pairs": pairs, "measures": measures})


def compare(
    baseline: Side,
    candidate: Side,
    *,
    y_ref: Mapping[str, float] = MappingProxyType({}),
    limits: Limits | None = None,
    factor: float | None = None,
    only: Collection[str] | None = None,
) -> Comparison:
    """Return what changed from a baseline to a candidate.

    Both sides are scored as the baseline's tasks say, against the baseline's reference, over the seeds that both have.

    With limits the margin of a measure is `limits.factor` yardsticks of it, which holds the rate of false alarms over
    all measures together. Without, it is one yardstick, and the intervals are Bonferroni's for the number of measures
    that are tested. The yardstick of a score is the tolerance of its task, of a share one configuration, of decades
    half a step of the axis. Limits are of all seeds of the baseline: a candidate without some of them is judged as
    if there were none.

    Args:
        baseline: what was.
        candidate: what is.
        y_ref: reference by task, in raw units, as the baseline's table had it; of a task without one the best
            validation mean of the baseline's runs.
        limits: as replays of the baseline set them.
        factor: yardsticks that a margin is to have, whatever the limits are; positive.
        only: names of the measures that are tested; None for all that can be.

    Raises:
        ComparisonError: where the two have no task, or no seed, in common, and where the baseline has learned nothing
            on a task.
    """
    both = read_both(baseline, candidate, y_ref)
    found = [one if only is None else one.restricted(only) for one in measured(both)]
    if factor is not None or both.n_seeds < baseline.spec.seeds.count:
        limits = None
    n_tests = sum(len(one.tests) for one in found)
    level = LEVEL if limits is not None or not n_tests else 1 - (1 - LEVEL) / n_tests
    if factor is None:
        factor = 1.0 if limits is None else limits.factor
    changes = [
        change
        for one in found
        for change in (
            *(
                judged(
                    test.change,
                    test.spread,
                    less_is_worse=test.less_is_worse,
                    margin=factor * test.yardstick,
                    level=level,
                )
                for test in one.tests
            ),
            *one.untested,
        )
    ]
    return Comparison(
        pairs=tuple(one.pairs for one in found),
        measures=tuple(changes),
        n_seeds=both.n_seeds,
        is_calibrated=limits is not None,
        correction=_correction(limits, n_tests),
    )


def worst_change(baseline: Side, replay: Side, *, y_ref: Mapping[str, float] = MappingProxyType({})) -> float:
    """Return the statistic of a replay: of all measures, the largest lower end of an interval of the worsening.

    In yardsticks. It is what `compare` holds against the margin: with this factor, or a larger one, the replay would
    not be said to have regressed.

    Args:
        baseline: what was.
        replay: the same cells by the same code, after a harmless numerical change.
        y_ref: as for `compare`.

    Raises:
        ComparisonError: where there is nothing to compare, or the replay lacks a result.
    """
    both = read_both(baseline, replay, y_ref)
    lacking = [one.grid.title for one in both.after.cells.values() if one.n_missing and not one.grid.is_adaptive]
    if lacking:
        raise ComparisonError(f"every cell of a replay must have a result, but some of {lacking[0]} have none.")
    tests = [test for one in measured(both) for test in one.tests]
    if not tests:
        raise ComparisonError("a replay must have a measure that can be judged, but none of its measures can.")
    return max(test.least_worsening for test in tests)


def _correction(limits: Limits | None, n_tests: int) -> str:
    if limits is not None:
        return f"maximum over all measures, from {len(limits.statistics)} replays of the baseline"
    return f"Bonferroni over {n_tests} comparisons" if n_tests else "none: nothing is tested"
