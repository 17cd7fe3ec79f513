"""How far the cells are that a job has in flight, as a few numbers however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class InFlight:
    """Cells in flight that take longer than a moment.

    Attributes:
        cells: how many, at least one.
        done: the sum of the shares of their steps that are done: so many cells' worth.
        furthest: the largest of these shares.
    """

    cells: int
    done: float
    furthest: float

    def __post_init__(self) -> None:
        if not (self.cells >= 1 and 0 <= self.furthest <= 1 and self.furthest <= self.done <= self.cells):
            raise ValueError(
                f"1 <= cells and 0 <= furthest <= 1 and furthest <= done <= cells must hold, but got {self}."
            )

    @classmethod
    def of(cls, steps: Sequence[tuple[int, int]]) -> Self | None:
        """Return it for the steps that each cell has taken and of how many; None where no cell is in flight."""
        shares = [done / total for done, total in steps]
        return cls(len(shares), sum(shares), max(shares)) if shares else None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any] | None) -> Self | None:
        """Return what `to_dict` wrote; None for None."""
        return None if document is None else cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
