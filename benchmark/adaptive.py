"""Adaptive searches: which of their configurations were tried, how each scored, and how many are left to choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.known import Configuration, cells_of_all, chosen_configurations
from benchmark.records import Record, Scalar, Status
from benchmark.robustness import TaskScoring
from benchmark.spec import Cell, Grid, Spec
from benchmark.tables import scorings
from benchmark.tasks import task_class


@dataclass
class AdaptiveSearch:
    """One adaptive search of a job.

    Attributes:
        grid: where it searches.
        scoring: by which scores.
        seeds: of each configuration.
        n_left: configurations that are still to be chosen.
        tried: configurations whose cells have all ended, with their scores: higher is better.
        pending: the records so far of each configuration that is being trained.
    """

    grid: Grid
    scoring: TaskScoring
    seeds: Sequence[int]
    n_left: int
    tried: dict[Configuration, float] = field(default_factory=dict)
    pending: dict[Configuration, list[Record]] = field(default_factory=dict)

    def is_known(self, hyperparameters: Mapping[str, Scalar]) -> bool:
        """Whether a configuration was chosen before."""
        configuration = tuple(hyperparameters.items())
        return configuration in self.tried or configuration in self.pending

    def begin(self, hyperparameters: Mapping[str, Scalar]) -> list[Cell]:
        """Take a configuration for chosen and return its cells."""
        self.n_left -= 1
        self.pending[tuple(hyperparameters.items())] = []
        return list(self.grid.cells_of(hyperparameters, self.seeds))

    def take(self, record: Record) -> float | None:
        """Take a record of this search; return the score of its configuration when that has ended."""
        configuration = tuple(sorted(record.hyperparameters.items()))
        records = self.pending[configuration]
        records.append(record)
        if len(records) < len(self.seeds):
            return None
        score = self.tried[configuration] = self._score(self.pending.pop(configuration))
        return score

    def _score(self, records: Sequence[Record]) -> float:
        """Return the mean validation score; the floor for what diverged, and where no run has a score at all."""
        name = task_class(self.grid.setting.task).score_names(self.grid.metric.name)[0]
        scores = [
            record.outcome.metrics[name] if record.outcome.status is Status.COMPLETED else self.scoring.floor
            for record in records
            if record.outcome.status.is_result
        ]
        oriented = self.scoring.orient(np.array(scores or [self.scoring.floor]))
        return float(oriented.mean())


def adaptive_searches(spec: Spec, records: Mapping[str, Record], missing: Sequence[Cell]) -> list[AdaptiveSearch]:
    """Return the adaptive searches of a spec as they stand.

    Args:
        spec: its searches.
        records: what they have, by config_key, in the order in which they were made.
        missing: the known cells that are still to be trained.
    """
    by_task = {scoring.task: scoring for scoring in scorings(spec)}
    to_do = {cell.key for cell in missing}
    searches = []
    for grid in spec.grids:
        if not grid.is_adaptive:
            continue
        known = chosen_configurations(grid, records)
        n_left = max(0, grid.n_configurations - len(known))
        search = AdaptiveSearch(grid, by_task[grid.task], spec.seeds.values, n_left)
        search.pending = {configuration: [] for configuration in known}
        for cell in cells_of_all(grid, known, spec):
            record = records.get(cell.key)
            if record is not None and cell.key not in to_do:
                search.take(record)
        searches.append(search)
    return searches
