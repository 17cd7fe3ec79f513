"""The waves of a job: what can be trained now, and controls once the cells that give their radius have records."""

from collections.abc import Mapping, Sequence

import torch

from benchmark.execution import Execution
from benchmark.matching import give_up, match
from benchmark.spec import Cell
from service.jobs.sink import RecordSink
from service.results import job_records
from service.store import Store, WantedCell


class Waves:
    """Takes the missing cells of a job and gives them back when they can be trained, less what an older record serves.

    Args:
        store: whose records they are.
        job_id: the job.
        attempt: the fence: which claim of the job this process works for.
        lease_s: by how much each write renews the lease.
        missing: the cells.
        made_by: the fingerprint under which each would be trained, by the key of its setting; None to reuse nothing.
        needs_metrics: metrics that a completed record must have to serve.
        sink: takes the records of controls that cannot be trained.
        device: on which they would be trained.
        executions: how, by the key of the setting.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        attempt: int,
        *,
        lease_s: float,
        missing: Sequence[Cell],
        made_by: Mapping[str, str] | None,
        needs_metrics: tuple[str, ...],
        sink: RecordSink,
        device: torch.device,
        executions: Mapping[str, Execution],
    ) -> None:
        self._store, self._job_id, self._attempt, self._lease_s = store, job_id, attempt, lease_s
        self._made_by, self._needs_metrics = made_by, needs_metrics
        self._sink, self._device, self._executions = sink, device, executions
        self._others = [cell for cell in missing if not cell.partner]
        self._controls = [cell for cell in missing if cell.partner]

    def first(self) -> list[Cell]:
        """Return what can be trained at once: all that is no control, and controls of what has ended before."""
        cells = self._not_reused(self._others)
        return cells + self._ready(cells)

    def second(self) -> list[Cell]:
        """Return the other controls, when everything else has a record."""
        return self._ready(())

    def _ready(self, pending: Sequence[Cell]) -> list[Cell]:
        if not self._controls:
            return []
        self._sink.flush()
        to_do = {cell.key for cell in pending}  # some of them have a record that a retry is to replace
        records = {key: record for key, record in job_records(self._store, self._job_id).items() if key not in to_do}
        found = match(self._controls, records)
        self._controls = found.waiting
        give_up(found.unmatched, self._sink, self._device, self._executions)
        self._sink.flush()
        return self._not_reused(found.ready)

    def _not_reused(self, cells: Sequence[Cell]) -> list[Cell]:
        if self._made_by is None:
            return list(cells)
        wanted = [
            WantedCell(
                cell.key,
                self._made_by[cell.setting.key],
                cell.task,
                cell.optimizer,
                needs_curve=True,
                needs_metrics=self._needs_metrics,
                radius=cell.radius,
            )
            for cell in cells
        ]
        linked = self._store.link_reusable(self._job_id, self._attempt, wanted, self._lease_s)
        return [cell for cell in cells if cell.key not in linked]
