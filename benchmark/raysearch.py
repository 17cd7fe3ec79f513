"""The adaptive search of a grid by Ray Tune's OptunaSearch: the tree-structured Parzen estimator.

Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011. A trial of the study is one configuration with all
its seeds; its value is the mean validation score, in which a run that diverged counts as the floor: Optuna would take
what is not a number for a trial without an end.
"""

import itertools
import warnings
from typing import Any

import optuna
from optuna.samplers import TPESampler
from ray.tune.search.optuna import OptunaSearch

from benchmark.adaptive import AdaptiveSearch
from benchmark.canonical import content_hash, round_significant
from benchmark.errors import BenchmarkError
from benchmark.known import Configuration
from benchmark.records import Record, Scalar
from benchmark.spec import Cell, GridAxis
from benchmark.studies import distribution

SCORE = "score"
MAX_REPEATS = 1_000  # suggestions in a row that were tried before


class TpeSearch:
    """Suggests configurations of one grid and learns from what they scored.

    A study is not kept: one that goes on is rebuilt from the configurations that have been tried, under a seed of its
    own, so that it does not suggest what the first one began with.
    """

    def __init__(self, search: AdaptiveSearch) -> None:
        if search.grid.design is None:
            raise ValueError(f"{search.grid.title} must have an adaptive design, but is a grid.")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._search = search
        self._trials: dict[Configuration, str] = {}
        self._numbers = itertools.count()
        identity = (
            search.grid.design.seed,
            search.grid.setting.key,
            dict(search.grid.fixed),
            sorted(search.tried),
            sorted(search.pending),
        )
        seed = int(content_hash(list(identity))[:8], 16) % 2**31
        self._optuna = OptunaSearch(
            {axis.name: distribution(axis.scale, axis.values) for axis in search.grid.axes},
            metric=SCORE,
            mode="max",
            sampler=TPESampler(seed=seed),
        )
        for configuration, score in search.tried.items():
            self._optuna.add_evaluated_point(self._swept(configuration), score)

    @property
    def n_left(self) -> int:
        """Number of configurations that are still to be chosen."""
        return self._search.n_left

    def owns(self, record: Record) -> bool:
        """Whether a record is of this search."""
        return self._search.grid.holds(record.setting, record.hyperparameters)

    def suggest(self) -> tuple[dict[str, Scalar], list[Cell]]:
        """Return a configuration that was not tried before, and its cells.

        Raises:
            BenchmarkError: when the study suggests nothing new.
        """
        grid = self._search.grid
        for _ in range(MAX_REPEATS):
            trial = str(next(self._numbers))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                suggested: Any = self._optuna.suggest(trial)
            configuration = grid.configuration(_rounded(suggested[axis.name], axis) for axis in grid.axes)
            if not self._search.is_known(configuration):
                self._trials[tuple(configuration.items())] = trial
                return configuration, self._search.begin(configuration)
            score = self._search.tried.get(tuple(configuration.items()))
            if score is not None:  # of one that is still being trained nothing is known yet
                self._tell(trial, score)
        raise BenchmarkError(
            f"every configuration must be new, but the last {MAX_REPEATS} that were suggested for {grid.title} were "
            "tried before; use fewer configurations or wider intervals."
        )

    def take(self, record: Record) -> None:
        """Take a record; where it is the last of its configuration, the study learns the score."""
        score = self._search.take(record)
        if score is None:
            return
        configuration = tuple(sorted(record.hyperparameters.items()))
        trial = self._trials.pop(configuration, None)
        if trial is None:  # of an earlier attempt, which ended before all of its cells had
            self._optuna.add_evaluated_point(self._swept(configuration), score)
        else:
            self._tell(trial, score)

    def _tell(self, trial: str, score: float) -> None:
        self._optuna.on_trial_complete(trial, {SCORE: score})

    def _swept(self, configuration: Configuration) -> dict[str, Scalar]:
        names = {axis.name for axis in self._search.grid.axes}
        return {name: value for name, value in configuration if name in names}


def _rounded(value: Scalar, axis: GridAxis) -> Scalar:
    """Return what is trained: as everywhere, 12 significant digits, and within the interval."""
    if not isinstance(value, float) or axis.scale == "values":
        return value
    return min(max(round_significant(value), axis.values[0]), axis.values[1])
