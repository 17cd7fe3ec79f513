"""A job's results as Optuna studies in a SQLite file, for optuna-dashboard and for searches that go on from them.

A study is one optimizer on one task, and a trial is one configuration with all of its seeds: its value is the mean of
the validation score over them. That is how Optuna's users average over seeds, and what they choose by: the best trial
is the best configuration, where with a trial a run it would be the luckiest seed. Each run stands in the trial's
attributes.

Optuna leaves a failed trial, and one whose value is not a number, out of its plots and its samplers. A diverged run is
a result, so it counts in the mean with what it scores in the robustness table, the floor, and its trial is complete.
"""

import contextlib
import math
import statistics
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from benchmark.records import Scalar, Status
from benchmark.robustness.scoring import Scale

Key = tuple[str, str]


class Run(Protocol):
    """One training run, as records have it."""

    @property
    def task(self) -> str | None:
        """Label of the task."""

    @property
    def optimizer(self) -> str | None:
        """Label of the optimizer."""

    @property
    def hyperparameters(self) -> Mapping[str, Scalar]:
        """All of the rule and its base."""

    @property
    def seed(self) -> int:
        """Of all randomness."""

    @property
    def status(self) -> Status:
        """How it ended."""

    @property
    def collapsed(self) -> bool:
        """Whether it was completed and learned nothing."""

    @property
    def diverged_at_step(self) -> int | None:
        """First step that was not finite."""

    @property
    def error(self) -> str | None:
        """What went wrong."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final values by name."""

    @property
    def curve(self) -> Mapping[str, Sequence[float]]:
        """Series by name, `step` among them."""


def write_studies(
    path: Path,
    surfaces: Sequence[Mapping[str, Any]],
    runs: Iterable[Run],
    *,
    about: Mapping[str, Any],
    interval_of: Callable[[str, str], tuple[Scalar, Scalar] | None] = lambda optimizer, axis: None,
    on_trial: Callable[[int], None] = lambda count: None,
) -> int:
    """Write one study for each surface into a new SQLite file that Optuna opens as a storage.

    Args:
        path: of the file, which must not exist.
        surfaces: of validation scores, as `benchmark.surface.surfaces` returns them.
        runs: of these surfaces, with their curves.
        about: attributes that every study gets, such as the job.
        interval_of: tells the ends of the interval of an optimizer's hyperparameter, from which configurations were
            drawn; None where the values themselves say it.
        on_trial: called with the number of trials that are written.

    Returns:
        Number of trials. A configuration that was not tried yet is none.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    by_grid: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        by_grid[str(run.task), str(run.optimizer)].append(run)
    n_trials = 0
    with _storage(path) as storage:
        for surface in surfaces:
            key = (surface["task"], surface["optimizer"])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study = optuna.create_study(storage=storage, study_name="/".join(key), direction=surface["goal"])
                study.set_metric_names([_value_name(surface)])
            described = {name: surface[name] for name in ("task", "optimizer", "metric", "design", "seeds")}
            for name, value in {**about, **described}.items():
                study.set_user_attr(name, value)
            for trial in _trials(surface, by_grid[key], interval_of):
                study.add_trial(trial)
                n_trials += 1
                on_trial(n_trials)
    return n_trials


def distribution(scale: Scale, values: Sequence[Scalar]) -> BaseDistribution:
    """Return Optuna's distribution of an axis.

    Args:
        scale: how its values are spaced.
        values: all of them, of a log or linear axis also its two ends alone; ascending.
    """
    if scale == "values":
        return CategoricalDistribution(tuple(values))
    low, high = values[0], values[-1]
    if isinstance(low, int):
        return IntDistribution(low, int(high), log=scale == "log")
    return FloatDistribution(low, high, log=scale == "log")


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    """Yield a storage in memory, where each of its many commits is cheap; at the end it is written into a file."""
    storage = optuna.storages.RDBStorage("sqlite:///:memory:")
    try:
        yield storage
        with storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _value_name(surface: Mapping[str, Any]) -> str:
    """Return the name of the score that is the value of a trial, as records have it."""
    return f"val_{surface['metric']}" if surface["split"] else str(surface["metric"])


def _trials(
    surface: Mapping[str, Any], runs: Sequence[Run], interval_of: Callable[[str, str], tuple[Scalar, Scalar] | None]
) -> Iterator[FrozenTrial]:
    """Yield the trials of a study, in the order of its surface."""
    axes = surface["axes"]
    names = [axis["name"] for axis in axes]
    distributions = {
        axis["name"]: distribution(axis["scale"], _ends(axis, interval_of(surface["optimizer"], axis["name"])))
        for axis in axes
    }
    of_point: dict[tuple[Scalar, ...], list[Run]] = defaultdict(list)
    for run in runs:
        of_point[tuple(run.hyperparameters[name] for name in names)].append(run)
    for point in surface["points"]:
        params = {name: point["hyperparameters"][name] for name in names}
        tried = sorted(of_point[tuple(params.values())], key=lambda run: run.seed)
        if tried:
            yield _trial(surface, point, tried, params, distributions)


def _ends(axis: Mapping[str, Any], interval: tuple[Scalar, Scalar] | None) -> Sequence[Scalar]:
    """Return the interval of an axis in the type of its values; the values where there is none."""
    values: Sequence[Scalar] = axis["values"]
    return values if interval is None else [type(values[0])(end) for end in interval]


def _trial(
    surface: Mapping[str, Any],
    point: Mapping[str, Any],
    tried: Sequence[Run],
    params: Mapping[str, Scalar],
    distributions: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    counts = {name: point[name] for name in ("n_diverged", "n_collapsed", "n_missing")}
    fixed = {name: value for name, value in tried[0].hyperparameters.items() if name not in params}
    named = {f"seed_{run.seed}": _of_run(run) for run in tried}
    return optuna.trial.create_trial(
        state=_state(point, tried),
        value=point["mean"],
        params=dict(params),
        distributions=dict(distributions),
        user_attrs={"status": _status(tried), "sd": point["sd"], **counts, "fixed": fixed, **named},
        intermediate_values=_mean_curve(tried, _value_name(surface)),
    )


def _state(point: Mapping[str, Any], tried: Sequence[Run]) -> TrialState:
    """Return the state of a trial: without any result it failed, or, where its runs only took too long, was ended."""
    if point["mean"] is not None:
        return TrialState.COMPLETE
    return TrialState.FAIL if any(run.status is Status.FAILED for run in tried) else TrialState.PRUNED


def _status(tried: Sequence[Run]) -> str:
    """Return how the runs ended: one word where all ended alike."""
    statuses = ["collapsed" if run.collapsed else str(run.status) for run in tried]
    return statuses[0] if len(set(statuses)) == 1 else "mixed"


def _of_run(run: Run) -> dict[str, Any]:
    """Return what a trial tells of a run; what it has not is left out."""
    known: dict[str, Any] = {
        "status": str(run.status),
        "collapsed": run.collapsed or None,
        "diverged_at_step": run.diverged_at_step,
    }
    known |= {"error": run.error, **run.metrics}
    return {name: value for name, value in known.items() if value is not None}


def _mean_curve(tried: Sequence[Run], name: str) -> dict[int, float]:
    """Return the mean over the runs at each step, as far as every one of them has a finite value there.

    Without those that could not be trained. Beyond the end of one that diverged, a mean of the others would rise.
    """
    curves = [
        {int(step): value for step, value in zip(run.curve["step"], run.curve[name], strict=True)}
        if name in run.curve
        else {}
        for run in tried
        if run.status is not Status.FAILED
    ]
    shared = set.intersection(*map(set, curves)) if curves else set()
    means: dict[int, float] = {}
    for step in sorted(shared):
        mean = statistics.fmean(curve[step] for curve in curves)
        if not math.isfinite(mean):
            break
        means[step] = mean
    return means
