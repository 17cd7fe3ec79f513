"""The sink: from Tune's callbacks into the store, in small batches, through faults, and never past a lost lease."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

from benchmark import Record
from benchmark.fingerprint import Fingerprint
from benchmark.spec import Cell
from service.jobs.patience import Result, persist
from service.store import InFlight, LostLeaseError, PlacedRecord, Store, StoreError

FLUSH_CELLS = 20
FLUSH_S = 0.5
PROGRESS_S = 5.0  # from one word on the cells in flight to the next
PATIENCE_LEASES = 2  # after one without a renewal the dispatcher ends this process anyway
logger = logging.getLogger("rhobust.driver")


class RecordSink:
    """Keeps records for half a second or 20 of them, then writes them under the job's lease.

    It ends the process by `SystemExit`, the one thing that Ray Tune lets through its callbacks: with `lost_lease_code`
    when somebody else owns the job, with 1 when the database stays away or refuses a record.

    Args:
        store: where to.
        job_id: whose records they are.
        attempt: the fence: which claim of the job this process works for.
        lease_s: by how much each write renews the lease.
        labels: task and optimizer label of each config_key that is known.
        on_request: called when a write returns that somebody asks the job to stop.
        lost_lease_code: exit code for a lost lease.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        attempt: int,
        *,
        lease_s: float,
        labels: Mapping[str, tuple[str, str]],
        on_request: Callable[[], None],
        lost_lease_code: int,
    ) -> None:
        self._store, self._job_id, self._attempt, self._lease_s = store, job_id, attempt, lease_s
        self._labels, self._on_request, self._lost_lease_code = dict(labels), on_request, lost_lease_code
        self._buffer: list[PlacedRecord] = []
        self._oldest = 0.0
        self._in_flight: InFlight | None = None
        self._told: InFlight | None = None
        self._told_at = -math.inf

    def on_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Write a fingerprint at once: its records point at it."""
        self._persist(lambda: self._store.register({}, {fingerprint.key: fingerprint.to_dict()}))

    def on_cells(self, cells: Sequence[Cell]) -> None:
        """Note the labels of cells that an adaptive search has chosen."""
        self._labels |= {cell.key: (cell.task, cell.optimizer) for cell in cells}

    def on_flight(self, in_flight: Sequence[tuple[int, int]]) -> None:
        """Note how far the cells in flight are; it is written with records, and every few seconds without."""
        self._in_flight = InFlight.of(in_flight)

    def on_records(self, records: Sequence[Record]) -> None:
        """Take records, or none, and write what waits when there is enough of it or it has waited long enough."""
        if records and not self._buffer:
            self._oldest = time.monotonic()
        self._buffer += [PlacedRecord(record, *self._labels[record.config_key]) for record in records]
        if len(self._buffer) >= FLUSH_CELLS or (self._buffer and time.monotonic() - self._oldest >= FLUSH_S):
            self.flush()
        elif time.monotonic() - self._told_at >= PROGRESS_S:
            self._tell()

    def flush(self) -> None:
        """Write everything that waits; return when it is stored."""
        if not self._buffer:
            return
        requested = self._persist(
            lambda: self._store.write_records(self._job_id, self._attempt, self._buffer, self._lease_s)
        )
        self._buffer = []
        if self._told is not None:  # a cell that has its record is not in flight any more
            self._tell()
        if requested:
            self._on_request()

    def _tell(self) -> None:
        if self._in_flight != self._told:
            self._persist(lambda: self._store.set_in_flight(self._job_id, self._attempt, self._in_flight))
            self._told, self._told_at = self._in_flight, time.monotonic()

    def _persist(self, write: Callable[[], Result]) -> Result:
        try:
            return persist(write, f"a batch of {len(self._buffer)} records", give_up_s=PATIENCE_LEASES * self._lease_s)
        except StoreError as error:
            # What could not be written is trained again; written later it would be another owner's business.
            logger.exception("%d records are given up", len(self._buffer))
            self._buffer = []
            raise SystemExit(self._lost_lease_code if isinstance(error, LostLeaseError) else 1) from error
