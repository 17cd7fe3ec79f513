"""The change of one measure of one optimizer between a baseline and a candidate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmark.regression.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one measure.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        name: of the measure.
        before: its value in the baseline, in the unit of the measure; None where it is not defined.
        after: its value in the candidate.
        difference: after less before.
        low: lower end of its interval; None where there is none.
        high: upper end.
        level: nominal coverage.
        method: how the interval was made.
        margin: what does not matter, in the same unit; None where nothing is tested.
        verdict: on the change.
        reason: why there is no interval, or no verdict.
        n_seeds_needed: seeds with which an undecided change of this size would be decided, as far as more seeds scatter
            like these; None for other verdicts, and above 1,000.
    """

    task: str
    optimizer: str
    name: str
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    margin: float | None = None
    verdict: Verdict = Verdict.NOT_TESTED
    reason: str | None = None
    n_seeds_needed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain values that JSON can hold."""
        return {**asdict(self), "verdict": str(self.verdict)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the change that `to_dict` wrote."""
        return cls(**{**document, "verdict": Verdict(document["verdict"])})
