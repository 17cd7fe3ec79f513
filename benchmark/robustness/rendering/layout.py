"""What a printed table shows: for each task panels of columns, and for each row the texts of its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmark.robustness.columns import SHARPNESS
from benchmark.robustness.comparison import LEADS
from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.rendering.caption import caption, notes, title
from benchmark.robustness.rendering.numbers import UNDEFINED, plain, value_and_interval
from benchmark.robustness.rows import Measure, Row
from benchmark.robustness.table import RobustnessTable

FAILURES = ("diverged_rate", "collapsed_rate")  # one column, so that the panel fits into 100 characters
ROBUSTNESS = ("best", "grid_mean", "p10", "expected_best_4", "good_share", "rho_width_max", *FAILURES)
DETAILS = ("iqm", "worst", "expected_best_16", "rho_width_mean", "variance_rho", "variance_lr", "variance_interaction")
DIAGNOSTICS = ("grad_norm", "delta_over_rho", "gradient_evaluations", "elapsed_s")
PANELS = (ROBUSTNESS, DETAILS, DIAGNOSTICS, SHARPNESS)
WITH_RAW = ("best", "grid_mean")
MIN_RANKED = 2


@dataclass(frozen=True, slots=True)
class TextCell:
    """The texts of one number.

    Attributes:
        value: rounded by its interval; a dash where it is not defined.
        interval: `[low, high]`; None where there is none.
        raw: the score in raw units; None where it is not shown.
        leads: whether it is marked as better than all others.
    """

    value: str
    interval: str | None
    raw: str | None
    leads: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """A table to print: a title, the names of its columns, its rows, and of each row the rank, if any row has one."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[TextCell, ...]], ...]
    ranks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """All there is to print about one task."""

    task: str
    panels: tuple[Panel, ...]
    caption: tuple[str, ...]
    notes: tuple[str, ...]


def sections(table: RobustnessTable) -> Iterator[Section]:
    """Yield what to print, task by task."""
    for task in table.tasks:
        rows = table.rows_of(task.task)
        headings = title(task), "Details", "Diagnostics", "Sharpness"
        shown = [
            [name for name in names if any(_is_shown(name, row.measures[name]) for row in rows)] for names in PANELS
        ]
        shown[0] = shown[0] or list(WITH_RAW)
        panels = [_panel(heading, rows, names) for heading, names in zip(headings, shown, strict=True) if names]
        panels[0] = replace(panels[0], ranks=_ranks(rows))
        named = [name for names in shown for name in names]
        yield Section(task.task, tuple(panels), tuple(caption(table, task)), tuple(notes(table, task, named)))


def phi_lines(table: RobustnessTable) -> list[str]:
    """Return a line an optimizer on its sensitivity across tasks; none where the table has too few tasks."""
    known = [item for item in table.across_tasks if item.measures["phi"].value is not None]
    return [
        f"{item.optimizer}: sensitivity across tasks (Phi) {plain(item.measures['phi'].value or 0.0)}" for item in known
    ]


def _panel(heading: str, rows: tuple[Row, ...], names: Sequence[str]) -> Panel:
    single = [name for name in names if name not in FAILURES]
    failures = [name for name in FAILURES if name in names]
    columns = [BY_NAME[name].title for name in single]
    if failures:
        columns.append(" / ".join(BY_NAME[name].title for name in failures))
    lines = []
    for row in rows:
        cells = [_cell(name, row.measures[name]) for name in single]
        if failures:
            rates = (value_and_interval(name, row.measures[name])[0] for name in failures)
            cells.append(TextCell(" / ".join(rates), None, None, leads=False))
        lines.append((row.optimizer, tuple(cells)))
    return Panel(heading, tuple(columns), tuple(lines))


def _ranks(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Return the rank of each row with those that are not ruled out; nothing where there is nothing to compare."""
    return tuple(map(_rank, rows)) if sum(row.rank is not None for row in rows) >= MIN_RANKED else ()


def _rank(row: Row) -> str:
    if row.rank is None:
        return UNDEFINED
    ends = f" [{row.rank.low}-{row.rank.high}]" if row.rank.low < row.rank.high else ""
    return f"{row.rank.value}{ends}"


def _is_shown(name: str, measure: Measure) -> bool:
    return measure.value is not None or (name in WITH_RAW and measure.raw is not None)


def _cell(name: str, measure: Measure) -> TextCell:
    value, interval = value_and_interval(name, measure)
    raw = plain(measure.raw) if name in WITH_RAW and measure.raw is not None else None
    return TextCell(value, interval, raw, LEADS in measure.flags)
