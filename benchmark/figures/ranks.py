"""What a figure of ranks shows, prepared once for every library that draws it: a row an optimizer, a panel a task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.errors import TableError
from benchmark.figures.styles import numbered
from benchmark.robustness.build import rows_of
from benchmark.robustness.cells import TaskCells
from benchmark.robustness.common import common_grid
from benchmark.robustness.comparison import RANKED_BY, with_ranks
from benchmark.robustness.intervals import weights_for
from benchmark.robustness.ranks import Rank
from benchmark.robustness.reference import reference_of
from benchmark.robustness.rows import Row

MIN_RANKED = 2
MAX_TICKS = 12


@dataclass(frozen=True, slots=True)
class RankedOptimizer:
    """One row.

    Attributes:
        optimizer: label.
        style: number of its look, the same in every panel.
        rank: its place, with the places that are not ruled out.
    """

    optimizer: str
    style: int
    rank: Rank


@dataclass(frozen=True, slots=True)
class RanksPanel:
    """The ranks on one task.

    Attributes:
        title: label of the task.
        rows: the best first, two at least.
    """

    title: str
    rows: tuple[RankedOptimizer, ...]

    @property
    def ticks(self) -> range:
        """The ranks to write beside the axis."""
        return range(1, len(self.rows) + 1, math.ceil(len(self.rows) / MAX_TICKS))


@dataclass(frozen=True, slots=True)
class RanksFigure:
    """Panels side by side.

    Attributes:
        title: of the whole.
        panels: at least one.
        note: what the bars are, and who has no rank; stands below.
    """

    title: str
    panels: tuple[RanksPanel, ...]
    note: str

    @property
    def n_rows(self) -> int:
        """Rows of the panel that has most."""
        return max(len(panel.rows) for panel in self.panels)


def prepare_ranks(tasks: Sequence[TaskCells], y_ref: Mapping[str, float]) -> RanksFigure:
    """Return what to draw of the ranks of the optimizers, by grid mean, as the robustness table has them.

    Args:
        tasks: the runs.
        y_ref: references by task in raw units; of a task without one, the best validation mean.

    Raises:
        TableError: where no task has two optimizers with a rank, with the reasons.
    """
    rows = {task.scoring.task: _rows(task, y_ref) for task in tasks}
    styles = numbered(cells.grid.optimizer for task in tasks for cells in task.optimizers)
    ranked = {task: [row for row in own if row.rank is not None] for task, own in rows.items()}
    panels = tuple(
        RanksPanel(
            task, tuple(RankedOptimizer(row.optimizer, styles[row.optimizer], row.rank) for row in own if row.rank)
        )
        for task, own in ranked.items()
        if len(own) >= MIN_RANKED
    )
    unranked = [(task, row) for task, own in rows.items() for row in own if row.rank is None]
    reasons = "; ".join(
        f"{row.optimizer}{f' on {task}' if len(tasks) > 1 else ''}: {_why(row)}" for task, row in unranked
    )
    if not panels:
        found = reasons or f"there is only {next(iter(rows.values()))[0].optimizer}"
        raise TableError(f"ranks need two optimizers with a whole grid in common, but {found}.")
    rank = panels[0].rows[0].rank
    note = f"By grid mean. Bars: ranks that are not ruled out at {rank.level:.0%} ({rank.method})."
    return RanksFigure("Ranks, 1 the best", panels, f"{note} Without a rank: {reasons}." if reasons else note)


def _rows(task: TaskCells, y_ref: Mapping[str, float]) -> tuple[Row, ...]:
    weights = weights_for(len(task.seeds))
    return with_ranks(rows_of(task, reference_of(task, y_ref), common_grid(task.optimizers), weights))


def _why(row: Row) -> str | None:
    return row.grid.reason or row.measures[RANKED_BY].reason
