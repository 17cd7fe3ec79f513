"""From the estimates of one optimizer to a row of the table: normalised, with intervals, flags and reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmark.robustness.borders import borders_of
from benchmark.robustness.cells import Cells
from benchmark.robustness.common import Place
from benchmark.robustness.evaluate import Estimate
from benchmark.robustness.intervals import Interval, Sample, interval_of
from benchmark.robustness.levels import best_configuration, ties_for_best
from benchmark.robustness.reference import Reference
from benchmark.robustness.registry import MeasureInfo, row_measures
from benchmark.robustness.rows import BestPoint, Measure, Row, RowGrid
from benchmark.robustness.scoring import FloatArray, TaskScoring


@dataclass(frozen=True, slots=True)
class _Unit:
    """The translation of oriented scores to normalised and raw ones; without `span`, of what is no score."""

    floor: float = 0.0
    span: float | None = None

    def normalise(self, value: float) -> float:
        return value if self.span is None else (value - self.floor) / self.span

    def normalise_array(self, values: FloatArray | None) -> FloatArray | None:
        return values if self.span is None or values is None else (values - self.floor) / self.span


def assemble_row(
    cells: Cells, scoring: TaskScoring, reference: Reference, place: Place, estimates: Mapping[str, Estimate]
) -> Row:
    """Return the row of one optimizer.

    Args:
        cells: its runs.
        scoring: how they are scored.
        reference: of the task.
        place: how its grid lies in the common one.
        estimates: its measures by name.
    """
    best = _best_point(cells, reference)
    n_cells = max(cells.is_result.size, cells.grid.n_planned)
    gaps = f"{cells.n_missing} of {n_cells} cells are missing" if cells.n_missing else None
    if not len(cells.seeds):
        gaps = "no run has begun"
    measures: dict[str, Measure] = {}
    samples: dict[str, Sample] = {}
    for info in row_measures():
        estimate = estimates[info.name]
        borders = best.borders if best is not None and info.name == "best" else ()
        flags = estimate.flags + tuple(f"border_{border.axis}_{border.end}" for border in borders)
        measure, sample = _measure(info, estimate, flags, gaps, scoring, reference)
        measures[info.name] = measure
        if sample is not None:
            samples[info.name] = sample
    reason = place.reason or gaps
    grid = RowGrid(
        cells.grid.design,
        cells.grid.axes,
        cells.grid.n_configurations,
        int(cells.complete.sum()),
        place.broadcast,
        reason,
        _trace(cells, scoring) if cells.grid.is_adaptive else None,
    )
    return Row(cells.grid.task, cells.grid.optimizer, reason is None, grid, best, measures, samples=samples)


def _measure(
    info: MeasureInfo,
    estimate: Estimate,
    flags: tuple[str, ...],
    gaps: str | None,
    scoring: TaskScoring,
    reference: Reference,
) -> tuple[Measure, Sample | None]:
    if estimate.value is None:
        return Measure(reason=estimate.reason), None
    flags = (*flags, "incomplete") if gaps else flags
    raw, unit = estimate.value, _Unit()
    if info.unit == "score":
        raw = scoring.raw(estimate.value)
        if reference.score is None or reference.problem is not None:
            return Measure(raw=raw, reason=reference.problem, flags=flags), None
        unit = _Unit(scoring.oriented_floor, reference.score - scoring.oriented_floor)
    value = unit.normalise(estimate.value)
    if estimate.sample is None:
        return Measure(value, raw, reason="; ".join(filter(None, (estimate.reason, gaps))) or None, flags=flags), None
    by_seed, resampled = (unit.normalise_array(part) for part in (estimate.sample.by_seed, estimate.sample.resampled))
    sample = replace(estimate.sample, by_seed=by_seed, resampled=resampled)
    interval = interval_of(value, sample)
    if isinstance(interval, Interval):
        ends = interval.low, interval.high, interval.level, interval.method
        return Measure(value, raw, *ends, reason=gaps, flags=flags), sample
    reason = f"{interval.reason}; {gaps}" if gaps else interval.reason
    return Measure(value, raw, reason=reason, flags=flags), sample


def _trace(cells: Cells, scoring: TaskScoring) -> tuple[float, ...]:
    """Return the raw test mean of the best by validation among the first 1, 2, ... complete configurations."""
    if not cells.complete.any():
        return ()
    validation = cells.validation[cells.complete].mean(axis=1)
    test = cells.test[cells.complete].mean(axis=1)
    leaders = [best_configuration(validation[: n + 1]) for n in range(len(validation))]
    return tuple(scoring.raw(float(test[leader])) for leader in leaders)


def _best_point(cells: Cells, reference: Reference) -> BestPoint | None:
    """Return the best configuration with the borders it lies on: none where it ties with one inside, or with none."""
    if cells.best is None:
        return None
    hyperparameters = cells.grid.hyperparameters(cells.best)
    if cells.grid.design != "grid" or reference.problem is not None:
        return BestPoint(hyperparameters, ())
    validation = cells.validation[cells.complete].mean(axis=1)
    tied = cells.complete.nonzero()[0][ties_for_best(validation)]
    points = [cells.grid.hyperparameters(int(number)) for number in tied]
    found = borders_of(cells.grid.axes, hyperparameters)
    shared = (border for border in found if len({point[border.axis] for point in points}) == 1)
    return BestPoint(hyperparameters, tuple(shared))
