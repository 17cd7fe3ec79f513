"""Whether a change made training harder to tune: two jobs compared measure by measure, with limits and verdicts."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from benchmark.regression.changes import Change
    from benchmark.regression.comparison import Comparison, compare, worst_change
    from benchmark.regression.history import LevelChange, RunMeasures, level_changes, run_measures
    from benchmark.regression.limits import (
        DEFAULT_ALARM_RATE,
        LEAST_ALARM_RATE,
        Limits,
        limits_of,
        replays_needed,
        require_replays,
    )
    from benchmark.regression.rendering import render_report
    from benchmark.regression.sameness import Repetition, Sameness, overall, repetition
    from benchmark.regression.sides import Pairs, Side
    from benchmark.regression.verdicts import Verdict, verdict_of
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "DEFAULT_ALARM_RATE",
    "LEAST_ALARM_RATE",
    "Change",
    "Comparison",
    "LevelChange",
    "Limits",
    "Pairs",
    "Repetition",
    "RunMeasures",
    "Sameness",
    "Side",
    "Verdict",
    "compare",
    "level_changes",
    "limits_of",
    "overall",
    "render_report",
    "repetition",
    "replays_needed",
    "require_replays",
    "run_measures",
    "verdict_of",
    "worst_change",
]
