"""Limits: how far measures move when nothing but rounding changes, from replays of a baseline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.errors import ComparisonError

DEFAULT_ALARM_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """A margin for all measures at once, in yardsticks of each, with the rate of false alarms that it keeps.

    The statistic of a run is its largest worsening over all optimizers and measures, each in its yardstick. A run in
    which nothing but rounding changed is exchangeable with the n replays, so it exceeds the m-th largest of them in at
    most m / (n + 1) of all cases: a family-wise rate, whatever the measures are and however they depend on each other.
    Source: the permutation form of the maximum statistic, P. Westfall and S. Young, Resampling-Based Multiple Testing,
    1993; the exact rank argument is that of a Monte Carlo test, G. Barnard, Discussion of Bartlett, 1963.

    Attributes:
        factor: yardsticks beyond which a worsening is an alarm; not negative.
        alarm_rate: that was asked for.
        rank: m, the place of the replay that set the factor, 1 the largest.
        statistics: of the replays, ascending.
    """

    factor: float
    alarm_rate: float
    rank: int
    statistics: tuple[float, ...]

    @property
    def kept_rate(self) -> float:
        """The rate of false alarms a run that the limits keep: rank / (replays + 1)."""
        return self.rank / (len(self.statistics) + 1)

    def alarms_expected(self, n_runs: float) -> float:
        """Return the number of false alarms to be expected in so many runs, at most."""
        return self.kept_rate * n_runs


def replays_needed(alarm_rate: float) -> int:
    """Return the least number of replays that allow a rate of false alarms: 19 for 5 %, 99 for 1 %.

    Raises:
        ComparisonError: for a rate that is none.
    """
    if not 0 < alarm_rate < 1:
        raise ComparisonError(f"0 < alarm rate < 1 must hold, but got {alarm_rate!r}.")
    return math.ceil(1 / alarm_rate - 1e-9) - 1


def limits_of(statistics: Sequence[float], alarm_rate: float = DEFAULT_ALARM_RATE) -> Limits:
    """Return the limits that replays set.

    Args:
        statistics: of each replay, the largest worsening in yardsticks.
        alarm_rate: rate of false alarms a run, over all measures together.

    Raises:
        ComparisonError: for fewer replays than the rate needs, and for a statistic that is no number.
    """
    needed = replays_needed(alarm_rate)
    if len(statistics) < needed:
        raise ComparisonError(
            f"a false-alarm rate of {alarm_rate:g} a run needs at least {needed} replays, but there are "
            f"{len(statistics)}; make more, or ask for a rate of {1 / (len(statistics) + 1):.3g} or above."
        )
    if not all(map(math.isfinite, statistics)):
        raise ComparisonError("every replay must have a finite statistic, but one has none: are its cells all there?")
    rank = math.floor(alarm_rate * (len(statistics) + 1) + 1e-9)
    ordered = sorted(statistics)
    return Limits(max(ordered[-rank], 0.0), alarm_rate, rank, tuple(ordered))
