"""Limits: how far measures move when nothing but rounding changes, from replays of a baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmark.errors import ComparisonError

DEFAULT_ALARM_RATE = 0.05
LEAST_ALARM_RATE = 1e-6  # more replays than anybody trains


@dataclass(frozen=True, slots=True)
class Limits:
    """A margin for all measures at once, in yardsticks of each, with the rate of false alarms that it keeps.

    The statistic of a run is the largest lower end of an interval of the worsening, over all optimizers and measures,
    each in its yardstick. A run in which nothing but rounding changed is exchangeable with the n replays, so it exceeds
    the m-th largest of them in at most m / (n + 1) of all cases: a family-wise rate, whatever the measures are, however
    they depend on each other, and whether or not the intervals cover as often as they say.
    Source: the permutation form of the maximum statistic, P. Westfall and S. Young, Resampling-Based Multiple Testing,
    1993; the exact rank argument is that of a Monte Carlo test, G. Barnard, Discussion of Bartlett, 1963.

    Attributes:
        factor: yardsticks beyond which a worsening is an alarm; at least one, as what is within does not matter.
        alarm_rate: that was asked for.
        rank: m, the place of the replay that set the factor, 1 the largest.
        statistics: of the replays, ascending, as `worst_change` has them.
    """

    factor: float
    alarm_rate: float
    rank: int
    statistics: tuple[float, ...]

    @property
    def kept_rate(self) -> float:
        """The rate of false alarms a run that the limits keep: rank / (replays + 1)."""
        return self.rank / (len(self.statistics) + 1)

    @property
    def rate_at_worst(self) -> float:
        """The rate that nineteen of twenty sets of replays stay below: of one set alone it is random.

        The chance to exceed the m-th largest of n is Beta(m, n + 1 - m), whose mean is the rate that is kept. Source:
        S. Wilks, Determination of Sample Sizes for Setting Tolerance Limits, 1941.
        """
        from scipy import special  # takes a while to load, and the default rate of alarms needs none of it

        return float(special.betaincinv(self.rank, len(self.statistics) + 1 - self.rank, 0.95))

    def alarms_expected(self, n_runs: float) -> float:
        """Return the number of false alarms to be expected in so many runs, at most."""
        return self.kept_rate * n_runs

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as plain values that JSON can hold."""
        return {**asdict(self), "statistics": list(self.statistics)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the limits that `to_dict` wrote."""
        return cls(**{**document, "statistics": tuple(document["statistics"])})


def replays_needed(alarm_rate: float) -> int:
    """Return the least number of replays that allow a rate of false alarms: 19 for 5 %, 99 for 1 %.

    Raises:
        ComparisonError: for a rate that is none.
    """
    if not LEAST_ALARM_RATE <= alarm_rate < 1:
        raise ComparisonError(f"{LEAST_ALARM_RATE:g} <= alarm rate < 1 must hold, but got {alarm_rate!r}.")
    return math.ceil(1 / alarm_rate - 1e-9) - 1


def require_replays(n_replays: int, alarm_rate: float) -> None:
    """Refuse a rate of false alarms that so many replays cannot hold.

    Raises:
        ComparisonError: with the number that is needed; and for a rate that is none.
    """
    needed = replays_needed(alarm_rate)
    if n_replays < needed:
        raise ComparisonError(
            f"a false-alarm rate of {alarm_rate:g} a run needs at least {needed} replays, but there are "
            f"{n_replays}; make more, or ask for a rate of {1 / (n_replays + 1):.3g} or above."
        )


def limits_of(statistics: Sequence[float], alarm_rate: float = DEFAULT_ALARM_RATE) -> Limits:
    """Return the limits that replays set.

    Args:
        statistics: of each replay, as `worst_change` has it.
        alarm_rate: rate of false alarms a run, over all measures together.

    Raises:
        ComparisonError: for fewer replays than the rate needs, and for a statistic that is no number.
    """
    require_replays(len(statistics), alarm_rate)
    if not all(map(math.isfinite, statistics)):
        raise ComparisonError("every replay must have a finite statistic, but one has none: are its cells all there?")
    rank = math.floor(alarm_rate * (len(statistics) + 1) + 1e-9)
    ordered = sorted(statistics)
    return Limits(max(ordered[-rank], 1.0), alarm_rate, rank, tuple(ordered))
