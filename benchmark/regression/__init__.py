"""Whether a change made training harder to tune: two jobs compared measure by measure, with limits and verdicts."""

from benchmark.regression.changes import Change
from benchmark.regression.comparison import Comparison, compare, worst_change
from benchmark.regression.limits import Limits, limits_of, replays_needed
from benchmark.regression.sides import Pairs, Side
from benchmark.regression.verdicts import Verdict, verdict_of

__all__ = [
    "Change",
    "Comparison",
    "Limits",
    "Pairs",
    "Side",
    "Verdict",
    "compare",
    "limits_of",
    "replays_needed",
    "verdict_of",
    "worst_change",
]
