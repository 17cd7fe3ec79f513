"""Views of a table: what is held equal between optimizers, read off the curves of runs that went on for longer."""

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pandas as pd

from benchmark.errors import TableError
from benchmark.frame import results_frame
from benchmark.known import known_cells
from benchmark.records import Diagnostics, Outcome, Record, Scalar, Status
from benchmark.robustness import Reading, View
from benchmark.spec import Cell, Grid, Spec
from benchmark.tasks import task_class
from optimizers import optimizer_info

SLACK = 1e-9  # of a step: so many steps as were meant, whatever rounding did
REMEDIES: Mapping[View, str] = {
    "equal_steps": "train it anew with budget: {epochs: N}, or with a constant schedule",
    "equal_gradient_evaluations": "train it anew with budget: {gradient_evaluations: N}",
    "equal_seconds": "train it anew with a constant schedule",
}


def budget_view(*specs: Spec) -> View:
    """Return what the budgets of specs hold equal; `by_budget` where those of their tasks differ in that."""
    held = {_held(grid) for spec in specs for grid in spec.grids}
    return held.pop() if len(held) == 1 else "by_budget"


def view_frame(
    spec: Spec, records: Mapping[str, Record], view: View, step_s: Mapping[str, float] = MappingProxyType({})
) -> tuple[pd.DataFrame, tuple[Reading, ...]]:
    """Return the frame of a spec's records as they were when each optimizer had spent as much as every other.

    On each task the run that ends first, by what the view holds equal, ends the others: each is read at the last
    evaluation at or before the step at which it had spent as much. A run that diverged later is not yet diverged; one
    that was cut off by its limit later has a result. What a run measures over all of its steps (whether it collapsed,
    norms) is not known at a point on its way: where a run is read before its end, the frame says nothing of these.

    Args:
        spec: whose cells are the rows.
        records: by config_key, with their curves.
        view: what is held equal.
        step_s: seconds of a step of one cell alone, by the key of the setting; for `equal_seconds`.

    Returns:
        The frame, as `benchmark.frame.results_frame` makes it, and where each optimizer was read; an optimizer of a
        task whose budget is the view already is read where it ended and is left out.

    Raises:
        TableError: where the view cannot be read off the curves, with the reason and the remedy.
    """
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in known_cells(spec, records):
        cells.setdefault((cell.task, cell.optimizer), []).append(cell)
    cut: dict[str, Record] = {}
    readings: list[Reading] = []
    for task in dict.fromkeys(grid.task for grid in spec.grids):
        grids = [grid for grid in spec.grids if grid.task == task]
        if view not in ("by_budget", _held(grids[0])):
            planned = {grid.optimizer: (grid, cells.get((task, grid.optimizer), [])) for grid in grids}
            readings += _read_task(task, planned, records, view, step_s, cut)
    frame = results_frame(spec, {**records, **cut})
    return frame.drop(columns="collapsed") if cut else frame, tuple(readings)


def _read_task(
    task: str,
    planned: Mapping[str, tuple[Grid, Sequence[Cell]]],
    records: Mapping[str, Record],
    view: View,
    step_s: Mapping[str, float],
    cut: dict[str, Record],
) -> Iterator[Reading]:
    """Yield where each optimizer of a task is read; write down what is read before its end."""
    whole = [records[cell.key].outcome for _, cells in planned.values() for cell in cells if cell.key in records]
    pace = _Pace(task, view, whole, step_s)
    runs = [(grid, cell) for grid, cells in planned.values() for cell in cells]
    amount = min(pace.per_step(*run) * pace.length(*run) for run in runs)
    longest = max(pace.length(*run) for run in runs)
    for optimizer, (grid, cells) in planned.items():
        steps, scores = set(), _score_names(grid)
        for cell in cells:
            if cell.key not in records:
                continue
            record, length = records[cell.key], pace.length(grid, cell)
            limit = math.floor(amount / pace.per_step(grid, cell) + SLACK)
            if limit >= length:
                steps.add(length)
                continue
            _refuse_what_depends_on_the_end(grid, cell, view)
            read = read_at(record, limit, scores)
            if read is not record:
                cut[cell.key] = read
            if read.outcome.status is Status.COMPLETED:
                steps.add(read.outcome.cost.steps)
        if steps:
            yield Reading(task, optimizer, amount, min(steps), max(steps), longest)


def read_at(record: Record, limit: int, scores: Sequence[str]) -> Record:
    """Return a record as it was at the last evaluation at or before a step.

    Args:
        record: with its curve.
        limit: number of the step, from 1, less than the run was to have.
        scores: names of the series that score a run.

    Returns:
        The record itself where the run did not come so far, or diverged on the way. Its steps, gradient evaluations and
        seconds are shares of the whole run's.

    Raises:
        TableError: where its curve has no point so early, or is not there.
    """
    outcome = record.outcome
    if outcome.cost.steps < limit or (outcome.diverged_at_step is not None and outcome.diverged_at_step <= limit):
        return record
    steps = outcome.curve.get("step", ())
    place = bisect.bisect_right(steps, limit) - 1
    if place < 0:
        first = f"its first evaluation is after step {steps[0]:g}" if steps else "its curve is not there"
        raise TableError(f"a run must have been evaluated by step {limit} to be read there, but {first}.")
    step, cost = int(steps[place]), outcome.cost
    metrics = {name: outcome.curve[name][place] for name in ("train_loss", *scores)}
    is_finite = all(map(math.isfinite, metrics.values()))
    share = step / cost.steps
    return replace(
        record,
        outcome=Outcome(
            status=Status.COMPLETED if is_finite else Status.DIVERGED,
            metrics=metrics if is_finite else {},
            curve={name: series[: place + 1] for name, series in outcome.curve.items()},
            cost=replace(
                cost,
                steps=step,
                gradient_evaluations=round(cost.gradient_evaluations * share),
                elapsed_s=cost.elapsed_s * share,
            ),
            diagnostics=Diagnostics(None, None),
            diverged_at_step=None if is_finite else step,
        ),
    )


class _Pace:
    """How much of what a view holds equal a step of each run takes, and how many steps it was to have."""

    def __init__(self, task: str, view: View, outcomes: Sequence[Outcome], step_s: Mapping[str, float]) -> None:
        whole = [outcome.cost.steps for outcome in outcomes if outcome.status is Status.COMPLETED]
        if not whole:
            raise TableError(
                f"{view} needs a completed run on every task to know how long a run is, but {task} has none yet."
            )
        self._n_steps = max(whole)
        self._view = view
        self._step_s = step_s
        self._evaluations: dict[tuple[str, tuple[tuple[str, Scalar], ...]], float] = {}

    def per_step(self, grid: Grid, cell: Cell) -> float:
        if self._view == "equal_steps":
            return 1.0
        evaluations = self._evaluations_of(grid, cell)
        if self._view == "equal_gradient_evaluations":
            return evaluations
        if not evaluations.is_integer():
            raise TableError(
                f"equal_seconds needs steps that all cost the same, but those of {grid.title} take "
                f"{evaluations:g} gradient evaluations on average; ask for equal_gradient_evaluations."
            )
        found = self._step_s.get(grid.setting.key, math.nan)
        if not 0 < found < math.inf:
            raise TableError(
                f"equal_seconds needs the seconds of a step of each optimizer by a sequential probe, but none is known "
                f"of {grid.title}; run the spec again on the device that is meant: it measures them when it "
                "begins, and what is recorded is not trained again."
            )
        return found

    def length(self, grid: Grid, cell: Cell) -> int:
        budget = grid.setting.budget.gradient_evaluations
        return self._n_steps if budget is None else max(1, math.floor(budget / self._evaluations_of(grid, cell)))

    def _evaluations_of(self, grid: Grid, cell: Cell) -> float:
        key = grid.optimizer, tuple(cell.hyperparameters.items())
        if key not in self._evaluations:
            rule = optimizer_info(grid.setting.rule)
            self._evaluations[key] = rule.gradient_evaluations(cell.hyperparameters)
        return self._evaluations[key]


def _held(grid: Grid) -> View:
    return "equal_steps" if grid.setting.budget.gradient_evaluations is None else "equal_gradient_evaluations"


def _score_names(grid: Grid) -> tuple[str, ...]:
    task = task_class(grid.setting.task)
    return tuple(name for metric in task.metrics if not metric.at_end for name in task.score_names(metric.name))


def _refuse_what_depends_on_the_end(grid: Grid, cell: Cell, view: View) -> None:
    """Refuse to read a run before its end where what it did until then, or its score, depends on where it ends."""
    budget, reason = grid.setting.budget, None
    if budget.schedule != "constant":
        reason = f"has schedule={budget.schedule}"
    elif budget.warmup > 0:
        reason = f"has warmup={budget.warmup:g}"
    elif cell.hyperparameters.get("rho_warmup"):
        reason = f"has rho_warmup={cell.hyperparameters['rho_warmup']:g}"
    elif grid.metric.at_end:
        raise TableError(
            f"{view} is read off curves, but {grid.metric.name}, which scores {grid.task}, is measured after "
            f"the last step only; score it by a metric of the curve, or {REMEDIES[view]}."
        )
    if reason is not None:
        raise TableError(
            f"{view} is read off the curves of longer runs, which is honest only where no schedule depends on their "
            f"length, but {grid.title} {reason}; {REMEDIES[view]}."
        )
