"""The sink of a run: where records go as cells finish."""

from collections.abc import Sequence
from typing import Protocol

from benchmark.fingerprint import Fingerprint
from benchmark.records import Record
from benchmark.spec import Cell


class Sink(Protocol):
    """Takes what a run gives, in the thread that runs it.

    It must raise no `Exception`, which Ray Tune would turn into a failed trial; `SystemExit` ends the run.
    """

    def on_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Take a fingerprint, before the first record that it made."""

    def on_cells(self, cells: Sequence[Cell]) -> None:
        """Take cells that an adaptive search has chosen, before their records."""

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None:
        """Take how far those cells are that are trained one after another and take longer than a moment.

        Args:
            in_flight: steps that each has taken, and of how many.
        """

    def flush(self) -> None:
        """Write what waits; called when the training ends, however it ends, and where a long cell has its record."""

    def on_records(self, records: Sequence[Record]) -> None:
        """Take records as cells finish; called with none several times a second, for a buffer that waits."""
