"""All measures of one optimizer on one task, with their spread over the seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.robustness import levels, sensitivity, width
from benchmark.robustness.cells import Cells
from benchmark.robustness.columns import DIAGNOSTICS
from benchmark.robustness.failures import failure_rates
from benchmark.robustness.intervals import Sample, resampled_means
from benchmark.robustness.reference import Reference
from benchmark.robustness.registry import TRIALS
from benchmark.robustness.scoring import BoolArray, FloatArray, TaskScoring
from benchmark.robustness.tuning import expected_best

RHO, LR = "rho", "lr"
MEANS = ("grid_mean", "iqm", *(f"expected_best_{k}" for k in TRIALS))  # over seeds
GRID_MEASURES = ("best", "worst", "p10", "good_share", "rho_width_max", "rho_width_mean")
ORDER_STATISTICS = ("worst", "p10")
STEPS = ("good_share", "rho_width_max", "rho_width_mean")
VARIANCES = ("variance_rho", "variance_lr", "variance_interaction")
NO_VARIANCE_INTERVAL = "no interval for shares of variance, in which noise of the seeds counts as interaction"
ADAPTIVE = "an adaptive search tries what looks good, and only its best and its failures mean anything"
MAX_RESAMPLED_MEANS = 250_000  # held at once, so that a table of a million cells stays small in memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure before it is put into the table: scores are oriented, not yet normalised.

    Attributes:
        value: None where it is not defined.
        sample: its spread over the seeds; None where it has none.
        reason: why there is no value, or no sample.
        flags: as in the table.
    """

    value: float | None
    sample: Sample | None = None
    reason: str | None = None
    flags: tuple[str, ...] = ()


def evaluate(
    cells: Cells, scoring: TaskScoring, reference: Reference, repeats: int, weights: FloatArray | None
) -> dict[str, Estimate]:
    """Return the measures of one optimizer by name.

    A configuration counts once all of its seeds have a result. Measures of an incomplete grid rest on the
    configurations that are complete; the rho widths and the shares of variance need all of them.

    Args:
        cells: its runs.
        scoring: how they are scored.
        reference: of the task.
        repeats: how often each configuration stands on the common grid.
        weights: of the seeds in each resample; None under ten seeds.
    """
    estimates = _failures(cells, weights) | _diagnostics(cells)
    whole = bool(cells.complete.all())
    if not cells.complete.any():
        reason = f"no configuration has a result for each of the {len(cells.seeds)} seeds"
        return estimates | {name: Estimate(None, reason=reason) for name in (*MEANS, *GRID_MEASURES, *VARIANCES)}
    validation, test = cells.validation[cells.complete], cells.test[cells.complete]
    estimates |= _by_seed(validation, test, repeats, weights)
    estimates |= _Statistics(cells, scoring, reference, repeats, whole).estimates(validation, test, weights)
    if not cells.grid.is_adaptive:
        return estimates
    undefined = [name for name in (*MEANS, *GRID_MEASURES, *VARIANCES) if name != "best"]
    return estimates | {name: Estimate(None, reason=ADAPTIVE) for name in undefined}


def _failures(cells: Cells, weights: FloatArray | None) -> dict[str, Estimate]:
    estimates = {}
    for name, failed in (("diverged_rate", cells.diverged), ("collapsed_rate", cells.collapsed)):
        if not cells.is_result.any():
            estimates[name] = Estimate(None, reason="no run has a result")
        elif failed is None:
            estimates[name] = Estimate(None, reason="the runs do not say whether they collapsed")
        else:
            rate, _ = failure_rates(failed, cells.is_result)
            estimates[name] = Estimate(
                rate, Sample(None, _resampled_rate(failed, cells.is_result, weights), len(cells.seeds))
            )
    return estimates


def _resampled_rate(failed: BoolArray, is_result: BoolArray, weights: FloatArray | None) -> FloatArray | None:
    if weights is None:
        return None
    n_failed, n_results = weights @ (failed & is_result).sum(axis=0), weights @ is_result.sum(axis=0)
    rates = np.full(len(weights), np.nan)
    np.divide(n_failed, n_results, out=rates, where=n_results > 0)
    return rates


def _diagnostics(cells: Cells) -> dict[str, Estimate]:
    flags = {"elapsed_s": ("amortised",)} if cells.amortised else {}
    return {
        name: Estimate(cells.diagnostics[name], flags=flags.get(name, ()))
        if name in cells.diagnostics
        else Estimate(None, reason="no completed run recorded it")
        for name in DIAGNOSTICS
    }


def _by_seed(validation: FloatArray, test: FloatArray, repeats: int, weights: FloatArray | None) -> dict[str, Estimate]:
    n = len(test)
    possible = [k for k in TRIALS if k <= n]
    values = {"grid_mean": test.mean(axis=0), "iqm": levels.interquartile_mean(test.T, repeats)}
    values |= {
        f"expected_best_{k}": row for k, row in zip(possible, expected_best(validation, test, possible), strict=True)
    }
    estimates = {
        name: Estimate(float(value.mean()), Sample(value, None if weights is None else weights @ value, len(value)))
        for name, value in values.items()
    }
    for k in TRIALS:
        if k > n:
            estimates[f"expected_best_{k}"] = Estimate(None, reason=f"{k} trials are more than the {n} configurations")
    return estimates


class _Statistics:
    """The measures that are functions of the seed means, on the seeds as they are and on resamples of them."""

    def __init__(self, cells: Cells, scoring: TaskScoring, reference: Reference, repeats: int, whole: bool) -> None:
        self.cells = cells
        self.scoring = scoring
        self.reference = reference
        self.repeats = repeats
        self.whole = whole
        self.undefined = self._undefined()

    def estimates(self, validation: FloatArray, test: FloatArray, weights: FloatArray | None) -> dict[str, Estimate]:
        """Return the measures by name; shape of both scores: (complete configurations, seeds)."""
        validation_means = validation.mean(axis=1)
        observed = self.of_means(validation_means, test.mean(axis=1))
        resampled = self._resample(validation, test, weights) if weights is not None else {}
        estimates = {name: Estimate(None, reason=reason) for name, reason in self.undefined.items()}
        flags = self._flags(validation_means)
        for name, value in observed.items():
            sample = Sample(None, resampled.get(name), validation.shape[1], name in ORDER_STATISTICS, name in STEPS)
            estimates[name] = Estimate(float(value), sample, flags=flags.get(name, ()))
        return estimates | self._variances(test.mean(axis=1))

    def _variances(self, test: FloatArray) -> dict[str, Estimate]:
        """Return the shares of variance; never with an interval, as resampling adds the noise of seeds once more."""
        defined = [name for name in VARIANCES if name not in self.undefined]
        if not defined:
            return {}
        shares = dict(zip(VARIANCES, sensitivity.variance_shares(self._rho_by_lr(test)), strict=True))
        if not np.isfinite(shares[defined[0]]):
            return {name: Estimate(None, reason="the scores do not vary over the grid") for name in defined}
        return {name: Estimate(float(shares[name]), reason=NO_VARIANCE_INTERVAL) for name in defined}

    def of_means(self, validation: FloatArray, test: FloatArray) -> dict[str, FloatArray]:
        """Return what is defined of the measures; the configurations are along the last axis of both means."""
        found = {
            "best": levels.best(validation, test),
            "worst": levels.worst(test),
            "p10": levels.tenth_percentile(test, self.repeats),
        }
        if self.reference.score is not None and "good_share" not in self.undefined:
            good = levels.is_good(validation, self.reference.score, self.scoring.tolerance)
            found["good_share"] = levels.good_share(good)
            rho = self.cells.grid.axis(RHO)
            if rho is not None and "rho_width_max" not in self.undefined:
                by_line = width.widths(self._lines(good), rho.numbers)
                found["rho_width_max"], found["rho_width_mean"] = by_line.max(axis=-1), by_line.mean(axis=-1)
        return found

    def _resample(self, validation: FloatArray, test: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
        chunk = max(1, MAX_RESAMPLED_MEANS // len(test))
        parts = []
        for start in range(0, len(weights), chunk):
            some = weights[start : start + chunk]
            parts.append(self.of_means(resampled_means(some, validation), resampled_means(some, test)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _undefined(self) -> dict[str, str]:
        reasons = {name: reason for name in VARIANCES if (reason := self._no_variance(name)) is not None}
        if self.reference.problem is not None:
            reasons["good_share"] = self.reference.problem
        no_width = self.reference.problem or self._no_width()
        if no_width is not None:
            reasons |= dict.fromkeys(("rho_width_max", "rho_width_mean"), no_width)
        return reasons

    def _no_width(self) -> str | None:
        rho = self.cells.grid.axis(RHO)
        if rho is None:
            return "rho is not swept"
        if self.cells.grid.design != "grid":
            return f"a {self.cells.grid.design} design has no lines along rho"
        if len(rho.values) < 2:
            return "a width needs at least two values of rho"
        if not rho.numbers[0] > 0:
            return f"rho = {rho.values[0]} has no place on a logarithmic scale"
        return None if self.whole else "a width needs the whole grid, and configurations are incomplete"

    def _no_variance(self, name: str) -> str | None:
        if self.cells.grid.design != "grid":
            return f"the analysis needs a full grid, and a {self.cells.grid.design} design is none"
        sizes = {axis.name: len(axis.values) for axis in self.cells.grid.axes}
        further = [axis for axis, size in sizes.items() if size > 1 and axis not in (RHO, LR)]
        if further:
            return f"the analysis is of rho and lr, but the grid sweeps {', '.join(further)} too"
        needed = {"variance_rho": (RHO,), "variance_lr": (LR,), "variance_interaction": (RHO, LR)}[name]
        unswept = [axis for axis in needed if sizes.get(axis, 1) < 2]
        if unswept:
            return f"{unswept[0]} is not swept"
        return None if self.whole else "an analysis of variance needs the whole grid, and configurations are incomplete"

    def _flags(self, validation_means: FloatArray) -> Mapping[str, tuple[str, ...]]:
        flags: dict[str, tuple[str, ...]] = {}
        if np.count_nonzero(levels.ties_for_best(validation_means)) > 1:
            flags["best"] = ("tied",)
        reference = self.reference.score
        if reference is None or "good_share" in self.undefined:
            return flags
        floor = np.array(self.scoring.oriented_floor)
        covers: tuple[str, ...] = (
            ("tolerance_covers_floor",) if levels.is_good(floor, reference, self.scoring.tolerance) else ()
        )
        flags["good_share"] = covers
        rho = self.cells.grid.axis(RHO)
        if rho is not None and "rho_width_max" not in self.undefined:
            good = self._lines(levels.is_good(validation_means, reference, self.scoring.tolerance))
            by_line = width.widths(good, rho.numbers)
            widest = good[np.isclose(by_line, by_line.max(), rtol=levels.SLACK, atol=0)]
            flags["rho_width_max"] = covers + width.censoring(widest).flags
            flags["rho_width_mean"] = covers + width.censoring(good).flags
        return flags

    def _lines(self, values: BoolArray) -> BoolArray:
        """Return values of all configurations as (..., lines, rhos): a line is one setting of all other axes."""
        grid = self.cells.grid
        lead = values.shape[:-1]
        position = grid.names.index(RHO) - len(grid.names)
        moved = np.moveaxis(values.reshape(*lead, *grid.shape), position, -1)
        return moved.reshape(*lead, -1, grid.shape[position])

    def _rho_by_lr(self, means: FloatArray) -> FloatArray:
        """Return means of all configurations as (rhos, learning rates); an axis that is not swept has length 1."""
        sizes = {axis.name: len(axis.values) for axis in self.cells.grid.axes}
        order: Sequence[str] = [name for name in self.cells.grid.names if name in (RHO, LR)]
        shaped = means.reshape([sizes[name] for name in order])
        return (shaped.T if order == [LR, RHO] else shaped).reshape(sizes.get(RHO, 1), sizes.get(LR, 1))
