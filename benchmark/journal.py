"""The journal of one run: what it met on its way, as numbers, and the outcome that comes of it."""

import copy
import math
import statistics
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from benchmark.records import Cost, Diagnostics, Outcome, Scalar, Status
from benchmark.tasks import Task

_WRITTEN = ("_losses", "_curve", "_scores", "_grad_norms", "_delta_norms")


class Journal:
    """Losses and norms of the steps, metrics at the evaluations; every way of training a run keeps one.

    Args:
        task: what is trained.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._losses: list[float] = []
        # Also a run that ends before its first evaluation has a curve, of no points.
        along = [score for metric in task.metrics if not metric.at_end for score in task.score_names(metric.name)]
        self._curve: dict[str, list[float]] = {name: [] for name in ("step", "train_loss", *along)}
        self._scores: dict[str, float] = {}
        self._grad_norms: list[float] = []
        self._delta_norms: list[float] = []

    def read(
        self,
        step: int,
        losses: Sequence[float],
        grad_norms: Sequence[float],
        delta_norms: Sequence[float],
        *,
        parameters_are_finite: bool,
    ) -> int | None:
        """Write down the steps since the last reading; return the first of them that was not finite.

        Args:
            step: number of the last of them, from 1.
            losses: one a step.
            grad_norms: one a step.
            delta_norms: one a step.
            parameters_are_finite: after the last step.
        """
        bad = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None and not parameters_are_finite:
            bad = len(losses) - 1
        n_good = len(losses) if bad is None else bad
        self._grad_norms += filter(math.isfinite, grad_norms[:n_good])
        self._delta_norms += filter(math.isfinite, delta_norms[:n_good])
        self._losses += losses
        return None if bad is None else step - len(losses) + 1 + bad

    def add_point(self, step: int, scores: Mapping[str, float], trace: Mapping[str, float]) -> None:
        """Add a point to the curve: the mean loss of the steps since the last point, and what was measured after them.

        The mean of losses in single precision is kept in single precision: more digits say nothing and cost the store.

        Args:
            step: number of the step, from 1.
            scores: metrics by the names that a record has for them.
            trace: what the curve holds beside them.
        """
        self._scores = dict(scores)
        point = {"step": float(step), "train_loss": _mean(self._losses), **scores, **trace}
        self._losses.clear()
        if not self._curve["step"]:
            self._curve |= {name: [] for name in trace}
        for name, series in self._curve.items():
            series.append(point[name])

    def state(self) -> dict[str, Any]:
        """Return what is written down: numbers in lists, by name."""
        return {name: getattr(self, name) for name in _WRITTEN}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned of a journal of the same task."""
        for name in _WRITTEN:
            setattr(self, name, copy.deepcopy(state[name]))

    def outcome(
        self,
        cost: Cost,
        rho: Scalar | None,
        *,
        last: Mapping[str, float] | None = None,
        diverged_at: int | None = None,
        sharpness: Mapping[str, float] = MappingProxyType({}),
    ) -> Outcome:
        """Return what came of the run: diverged where a step was not finite, timed out where it did not reach its end.

        Args:
            cost: what it took.
            rho: radius, if it has one.
            last: what was measured after the last step; None for a run that did not reach it. Where that or a metric of
                the last evaluation is not finite, the run diverged in its last step.
            diverged_at: number of the first step that was not finite.
            sharpness: of a completed run. It never decides how a run ended: a value that is not finite is left out.
        """
        metrics = {**last, **self._scores} if last is not None and diverged_at is None else {}
        if not all(map(math.isfinite, metrics.values())):
            metrics, diverged_at = {}, cost.steps
        status = Status.COMPLETED if metrics else Status.TIMED_OUT if diverged_at is None else Status.DIVERGED
        return Outcome(
            status=status,
            metrics={**metrics, **_finite(sharpness)} if metrics else {},
            curve={name: tuple(series) for name, series in self._curve.items()},
            cost=cost,
            diagnostics=self._diagnostics(rho),
            collapsed=status is Status.COMPLETED and self._has_collapsed(metrics),
            diverged_at_step=diverged_at,
        )

    def _has_collapsed(self, metrics: Mapping[str, float]) -> bool:
        tests = {metric.name: metrics[self._task.score_names(metric.name)[-1]] for metric in self._task.metrics}
        return self._task.has_collapsed(metrics["train_loss"], tests)

    def _diagnostics(self, rho: Scalar | None) -> Diagnostics:
        """Return medians and mean over the steps at which the norms were finite."""
        grad_norm = statistics.median(self._grad_norms) if self._grad_norms else None
        if rho is None:
            return Diagnostics(grad_norm, None)
        mean_delta = statistics.fmean(self._delta_norms) if self._delta_norms else 0.0
        if not rho > 0 or not self._delta_norms:
            return Diagnostics(grad_norm, None, mean_delta)
        return Diagnostics(grad_norm, statistics.median(self._delta_norms) / rho, mean_delta)


def _mean(losses: Sequence[float]) -> float:
    """Return the mean, rounded to single precision if that holds every loss."""
    mean = statistics.fmean(losses)
    return array("f", (mean,))[0] if list(array("f", losses)) == list(losses) else mean


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
