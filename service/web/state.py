"""What every handler of the app shares: the store, the settings, and tables that need not be computed twice."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from benchmark import Record, Spec
from benchmark.robustness import RobustnessTable
from benchmark.tables import spec_table
from service.settings import Settings
from service.store import Job, Store

N_CACHED_TABLES = 32


@dataclass(frozen=True)
class JobResults:
    """A job with its spec and the records it uses, by config_key."""

    job: Job
    spec: Spec
    records: dict[str, Record]


class AppState:
    """The store and the settings of one app."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        # A job's revision grows with every record, so a table that is cached under it is never out of date.
        self._table = lru_cache(N_CACHED_TABLES)(self._compute_table)

    def results(self, job_id: str) -> JobResults:
        """Return a job with its records, without their curves; raises NotFoundError."""
        job = self.store.job(job_id)
        records = {stored.record.config_key: stored.record for stored in self.store.iter_records(job.id, curves=False)}
        return JobResults(job, Spec.from_mapping(job.spec, max_cells=job.n_cells), records)

    def table(self, job_id: str) -> RobustnessTable:
        """Return the robustness table of a job as it is now; raises NotFoundError."""
        return self._table(job_id, self.store.job(job_id).revision)

    def _compute_table(self, job_id: str, revision: int) -> RobustnessTable:
        results = self.results(job_id)
        return spec_table(results.spec, results.records)


def _state(request: Request) -> AppState:
    state = request.app.state.rhobust
    if not isinstance(state, AppState):
        raise TypeError(f"the app must be made by create_app, but its state is {type(state).__name__}.")
    return state


State = Annotated[AppState, Depends(_state)]
