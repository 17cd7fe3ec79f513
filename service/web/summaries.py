"""Jobs as they stand in lists, kept as JSON: of most of a list nothing has changed since somebody looked at it."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from service.store import ListedJob, Store
from service.summary import job_values
from service.web.rendered import json_bytes

MAX_KEPT = 5_000  # of under a kilobyte each


class Summaries:
    """The JSON of jobs by id and revision, which grows with every change that shows. May be used from several threads.

    Args:
        store: open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, listed: Sequence[ListedJob]) -> list[bytes]:
        """Return the JSON of jobs in the order of a list; one that is gone meanwhile is left out."""
        with self._lock:
            known = {one.id: self._kept.get(one.id, (0, b"")) for one in listed}
        found = {one.id: known[one.id][1] for one in listed if known[one.id][0] == one.revision}
        changed = [one.id for one in listed if one.id not in found]
        if changed:
            found |= self._read(changed)
        return [found[one.id] for one in listed if one.id in found]

    def _read(self, job_ids: Sequence[str]) -> dict[str, bytes]:
        # progress last: where it is newer than the job, the next list has another revision, and it is read again
        jobs = self._store.jobs_of(job_ids)
        progress = self._store.progress_of(jobs)
        found = {
            one.id: (one.revision, json_bytes(job_values(one, progress[one.id])))
            for one in jobs.values()
            if one.id in progress
        }
        with self._lock:
            for job_id, kept in found.items():
                self._kept[job_id] = kept
                self._kept.move_to_end(job_id)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return {job_id: content for job_id, (_, content) in found.items()}
