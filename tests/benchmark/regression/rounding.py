"""Runs of one spec that differ in nothing but rounding, after several models of what that does, and runs with a shift.

Every run, the baseline too, is one draw: what a comparison has to forgive is the difference of two of them.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmark import Spec
from benchmark.regression import Side
from benchmark.spec import Cell, expand
from tests.benchmark.regression.simulated import side
from tests.service.filling import diverged

YARDSTICK = 0.01  # of a score: the tolerance of the task
OfCell = Callable[[Cell], float]  # what rounding adds to the score of a cell in one run; NaN where it diverges
Model = Callable[[np.random.Generator], OfCell]  # draws a run


def normal(rng: np.random.Generator) -> OfCell:
    """Return what is alike in all cells, with a standard deviation of one yardstick."""
    return lambda cell: YARDSTICK * float(rng.normal())


def heavy(rng: np.random.Generator) -> OfCell:
    """Return what is small mostly and very large at times: Student's t with two degrees of freedom."""
    return lambda cell: YARDSTICK / 2 * float(rng.standard_t(2))


def chaotic(rng: np.random.Generator) -> OfCell:
    """Return nothing but at the largest learning rate, where runs go far apart and some diverge."""

    def of_cell(cell: Cell) -> float:
        if float(cell.hyperparameters["lr"]) < 0.5:
            return 0.0
        return math.nan if rng.random() < 0.15 else 5 * YARDSTICK * float(rng.normal())

    return of_cell


def stepped(rng: np.random.Generator) -> OfCell:
    """Return one example of a test set of fifty more or less, in one cell of five."""
    return lambda cell: float(rng.choice([-0.02, 0.02])) if rng.random() < 0.2 else 0.0


def common(rng: np.random.Generator) -> OfCell:
    """Return what all seeds of an optimizer have in common, which intervals over the seeds cannot see."""
    of_optimizer = {name: 3 * YARDSTICK * float(rng.normal()) for name in ("sam", "msam")}
    return lambda cell: of_optimizer[cell.optimizer] + YARDSTICK / 10 * float(rng.normal())


class Runs:
    """Runs of one spec after a model of rounding.

    Args:
        of: a spec of `simulated`.
        model: what rounding does.
        seed: of all draws.
    """

    def __init__(self, of: Spec, model: Model, seed: int) -> None:
        self._of, self._model, self._rng = of, model, np.random.default_rng(seed)
        usual = side(of).records
        self._cells = [(cell, usual[cell.key]) for cell in expand(of)]

    def one(self, shift: float = 0.0) -> Side:
        """Return the next run; with a shift, in yardsticks, of all scores of M-SAM."""
        change_of = self._model(self._rng)
        records = {}
        for cell, record in self._cells:
            change = change_of(cell) + (shift * YARDSTICK if cell.optimizer == "msam" else 0.0)
            if math.isnan(change):
                records[cell.key] = replace(record, outcome=diverged(cell))
                continue
            metrics = record.outcome.metrics
            score = metrics["test_accuracy"] + change
            metrics = {**metrics, "val_accuracy": score, "test_accuracy": score}
            records[cell.key] = replace(record, outcome=replace(record.outcome, metrics=metrics))
        return Side(self._of, records)

    def several(self, n: int) -> list[Side]:
        """Return the next runs."""
        return [self.one() for _ in range(n)]
