"""What a table must say beside its numbers to stand alone: how it was made, what failed, and what is missing."""

import itertools
from collections.abc import Iterable, Sequence

from benchmark.robustness.comparison import LEADS, RANKED_BY, Difference
from benchmark.robustness.power import POWER
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.rendering.numbers import PARTIAL, difference_and_interval, plain
from benchmark.robustness.rows import Row
from benchmark.robustness.scoring import AxisInfo
from benchmark.robustness.table import FAILURES, Reading, RobustnessTable, TaskSummary

MAX_PAIRS = 6
MIN_P = 0.001  # smaller ones are not told apart


def title(task: TaskSummary) -> str:
    """Return the heading of the rows of a task."""
    direction = "higher" if task.goal == "maximize" else "lower"
    return f"{task.task}: {task.metric} ({direction} is better)"


def caption(table: RobustnessTable, task: TaskSummary) -> list[str]:
    """Return the sentences under the rows of a task: seeds, grid, scale, failures, intervals.

    Args:
        table: the whole table.
        task: whose rows are meant.
    """
    rows = table.rows_of(task.task)
    source = "given" if task.y_ref_given else "the best validation mean of this table"
    reference = "undefined" if task.y_ref is None else f"{plain(task.y_ref)} ({source})"
    picked = (
        "picked by validation, reported on test"
        if task.has_split
        else "no validation split: one score picks and reports"
    )
    seeds = "1 seed" if task.n_seeds == 1 else f"{task.n_seeds} seeds"
    sentences = [
        f"{seeds}; {_view(table, task)}; {grid_text(task)}; {picked}.",
        f"Scores are (y - floor) / (y_ref - floor) with raw y beside; floor {plain(task.floor)}, y_ref {reference}.",
        f"Good is a validation mean within {plain(task.tolerance)} (raw) of y_ref.",
        FAILURES,
        _intervals(rows),
    ]
    if task.y_ref is not None and not task.y_ref_given:
        sentences.append("They take y_ref as known, though it comes from the same seeds.")
    if any("incomplete" in measure.flags for row in rows for measure in row.measures.values()):
        sentences.append(f"{PARTIAL} rests on the complete configurations alone.")
    if any(LEADS in measure.flags for row in rows for measure in row.measures.values()):
        sentences.append(
            "* better than each other ranked row, each measure by itself: the intervals of the paired differences "
            "exclude zero, uncorrected for the number of measures."
        )
    ranked = [row.rank for row in rows if row.rank is not None]
    if any(rank.low < rank.high for rank in ranked) or (len(ranked) > 1 and task.n_seeds > 1):
        sentences.append(
            f"Ranks are by grid mean; in brackets those that are not ruled out, for all rows at once at "
            f"{ranked[0].level:.0%} ({ranked[0].method})."
        )
    if table.mixed:
        sentences.append("Mixed: runs of one kind were trained under different fingerprints.")
    if table.fingerprints:
        label = "Fingerprint" if len(table.fingerprints) == 1 else "Fingerprints"
        sentences.append(f"{label} {', '.join(table.fingerprints)}.")
    return [*sentences, *table.notes[task.task], f"Rhobust {table.version}."]


def notes(table: RobustnessTable, task: TaskSummary, shown: Sequence[str]) -> list[str]:
    """Return what is particular about the rows of a task: unranked, on a border, undefined, incomplete.

    Args:
        table: the whole table.
        task: whose rows are meant.
        shown: names of the measures that are printed.
    """
    rows = table.rows_of(task.task)
    found = [note for row in rows for note in _row_notes(row, shown)]
    found[:0] = _comparisons(table, task)
    missing = [cell for cell in table.missing.first if cell.task == task.task]
    if missing:
        cell = missing[0]
        point = "".join(f", {name} {plain(value)}" for name, value in cell.hyperparameters.items())
        found.append(
            f"Incomplete: {table.missing.count} cells of the table are missing, first "
            f"{cell.optimizer}{point}, seed {cell.seed} ({cell.status})."
        )
    return found


def _view(table: RobustnessTable, task: TaskSummary) -> str:
    """Return what is held equal, and at which step each optimizer was read where it was read off curves."""
    held = "each task by its own budget" if table.view == "by_budget" else table.view.replace("_", " ")
    own = [reading for reading in table.readings if reading.task == task.task]
    if not own:
        return held
    amount = f"{plain(own[0].amount)}{' s of steps by a sequential probe' if table.view == 'equal_seconds' else ''}"
    places = ", ".join(f"{one.optimizer} {_steps(one)}" for one in own)
    return f"{held} ({amount} each; read at the last evaluation by then, of {own[0].n_steps} steps: {places})"


def _steps(reading: Reading) -> str:
    first, last = reading.first_step, reading.last_step
    return str(first) if first == last else f"{first} to {last}"


def _comparisons(table: RobustnessTable, task: TaskSummary) -> list[str]:
    """Return the differences in the grid mean: of all pairs, or of neighbours where pairs would be too many to read."""
    every = [one for one in table.differences if one.task == task.task and one.measure == RANKED_BY]
    if not every:
        return []
    order = list(dict.fromkeys(name for one in every for name in (one.first, one.second)))
    neighbours = set(itertools.pairwise(order))
    told = every if len(every) <= MAX_PAIRS else [one for one in every if (one.first, one.second) in neighbours]
    texts = [f"{one.first} - {one.second} {difference_and_interval(one)}" for one in told]
    if all(one.p_adjusted is None for one in told):
        return [f"Differences in the grid mean, paired by seed: {'; '.join(texts)}."]
    texts = [f"{text}, {_p(one.p_adjusted)}" for text, one in zip(texts, told, strict=True)]
    pairs = "one pair" if len(every) == 1 else f"{len(every)} pairs"
    how = f"p by {every[0].test} corrected by Holm over {pairs}"
    lines = [f"Differences in the grid mean, paired by seed, {how}: {'; '.join(texts)}."]
    more = [
        f"{one.first} - {one.second} {one.n_seeds_needed}"
        for one in told
        if one.n_seeds_needed is not None and not _is_decided(one) and one.n_seeds_needed > task.n_seeds
    ]
    if more:
        lines.append(
            f"Not decided; so many seeds would see a difference of the tolerance with a power of {POWER:.0%}, if they "
            f"scatter like these: {'; '.join(more)}."
        )
    return lines


def _is_decided(one: Difference) -> bool:
    return one.p_adjusted is not None and one.level is not None and one.p_adjusted <= 1 - one.level


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return "p < 0.001" if value < MIN_P else f"p = {value:.3f}"


def grid_text(task: TaskSummary) -> str:
    """Return what the common grid or design of a task is."""
    if task.axes is None:
        return "no grid is shared"
    if not task.axes:
        return "grid of one configuration"
    if task.design != "grid":
        spans = [f"{axis.name} {plain(axis.values[0])} to {plain(axis.values[-1])}" for axis in task.axes]
        return f"{task.design} design of {task.n_configurations} configurations, {', '.join(spans)}"
    texts = [
        f"{axis.name} {plain(axis.values[0])} to {plain(axis.values[-1])} ({_spacing(axis)})" for axis in task.axes
    ]
    return f"grid {' x '.join(texts)}"


def _spacing(axis: AxisInfo) -> str:
    return f"{len(axis.values)} values" if axis.scale == "values" else f"{len(axis.values)} {axis.scale}"


def _intervals(rows: Sequence[Row]) -> str:
    every = [measure for row in rows for measure in row.measures.values()]
    methods = sorted({f"{measure.level:.0%} {measure.method}" for measure in every if measure.level is not None})
    reasons = {
        part for measure in every if measure.value is not None and measure.reason for part in measure.reason.split("; ")
    }
    lacking = sorted(reason for reason in reasons if "interval" in reason)
    return "; ".join(["Intervals: " + (", ".join(methods) or "none"), *lacking]) + "."


def _row_notes(row: Row, shown: Sequence[str]) -> Iterable[str]:
    if row.grid.n_complete < row.grid.n_configurations:
        yield f"{row.optimizer}: {row.grid.n_complete} of {row.grid.n_configurations} configurations are complete."
    if not row.ranked:
        yield f"{row.optimizer} is not ranked: {row.grid.reason}."
    elif row.grid.broadcast:
        names = ", ".join(row.grid.broadcast)
        yield f"{row.optimizer} has no {names} and is constant along it; best of k draws from its own configurations."
    if row.best is not None and row.best.borders:
        advice = "; ".join(border.advice for border in row.best.borders)
        yield f"{row.optimizer} is best on the border of its grid: {advice}."
    flags = {flag for measure in row.measures.values() for flag in measure.flags}
    if "tied" in flags:
        yield f"{row.optimizer}: several configurations tie for the best; the first of them is reported."
    if "tolerance_covers_floor" in flags:
        yield f"{row.optimizer}: the tolerance reaches down to the floor, so that diverged runs count as good."
    if "amortised" in flags:
        yield f"{row.optimizer}: seconds are shares of runs that were trained together."
    undefined = [
        (measure.reason or "", BY_NAME[name].title)
        for name, measure in row.measures.items()
        if name in shown and measure.value is None
    ]
    for reason, group in itertools.groupby(sorted(undefined), key=lambda pair: pair[0]):
        yield f"{row.optimizer}, not defined: {', '.join(name for _, name in group)} ({reason})."
