"""Ranks of the optimizers of a task, with the ranks that the seeds cannot rule out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from benchmark.robustness.intervals import LEVEL
from benchmark.robustness.scoring import FloatArray

METHOD = "Holm over all one-sided paired tests"


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of an optimizer among the ranked ones of its task, 1 the best.

    Attributes:
        value: 1 plus the number of those with a better value; equal ones share a rank.
        low: the best rank that is not ruled out: 1 plus the number of those that are clearly better.
        high: the worst one: the number of ranked optimizers less those that are clearly worse.
        level: with which all of these sets hold the true ranks at once.
        method: how the sets were made.
    """

    value: int
    low: int
    high: int
    level: float = LEVEL
    method: str = METHOD

    def to_dict(self) -> dict[str, Any]:
        """Return the rank as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the rank that `to_dict` wrote."""
        return cls(**document)


def ranks(values: Sequence[float], p_below: FloatArray, level: float = LEVEL) -> tuple[Rank, ...]:
    """Return the rank of each optimizer with a set of ranks that holds the true one, for all of them at once.

    Every ordered pair asks whether the first is not better than the second. Those of the n (n - 1) hypotheses that
    Holm's procedure rejects are clear; any of them is rejected wrongly in at most 1 - level of all tables, and in the
    others every set holds the true rank. Source: M. Mogstad, J. Romano, A. Shaikh, D. Wilhelm, Inference for Ranks with
    Applications to Mobility across Neighbourhoods and Academic Achievement across Countries, 2024, whose stepwise sets
    these are.

    Args:
        values: oriented, higher is better.
        p_below: p-value of the hypothesis that the optimizer of the row is not better than that of the column, shape
            (optimizers, optimizers); NaN where it cannot be tested. The diagonal does not matter.
        level: at which all sets hold at once.
    """
    n = len(values)
    off_diagonal = ~np.eye(n, dtype=bool)
    is_better = np.zeros((n, n), dtype=bool)
    is_better[off_diagonal] = holm(p_below[off_diagonal]) <= 1 - level
    numbers = np.asarray(values)
    return tuple(
        Rank(
            value=1 + int(np.count_nonzero(numbers > numbers[own])),
            low=1 + int(is_better[:, own].sum()),
            high=n - int(is_better[own].sum()),
            level=level,
        )
        for own in range(n)
    )


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values corrected for their number, so that rejecting those up to a has an error rate of a at most.

    The i-th smallest of m is multiplied by m - i + 1 and is no smaller than those before it.
    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Args:
        p_values: shape (m,). NaN stays NaN; it counts among the m, since it belongs to the family.
    """
    order = np.argsort(p_values)  # NaN last
    m = len(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(m, 0, -1))
    corrected = np.empty(m)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
