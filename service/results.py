"""What a job has so far: its spec, the records it uses, and its robustness table."""

from dataclasses import dataclass

from benchmark import Record, Spec
from benchmark.robustness import RobustnessTable
from benchmark.tables import spec_table
from service.store import Job, Store


@dataclass(frozen=True)
class JobResults:
    """A job with its spec and the records it uses, by config_key, in the order in which they were written."""

    job: Job
    spec: Spec
    records: dict[str, Record]

    def table(self) -> RobustnessTable:
        """Return the robustness table."""
        return spec_table(self.spec, self.records)


def job_results(store: Store, job_id: str, *, curves: bool = False) -> JobResults:
    """Read what a job has so far; raises NotFoundError when there is none of that id."""
    job = store.job(job_id)
    return JobResults(
        job, Spec.from_mapping(job.spec, max_cells=job.n_cells), job_records(store, job.id, curves=curves)
    )


def job_records(store: Store, job_id: str, *, curves: bool = False) -> dict[str, Record]:
    """Return the records that a job uses, by config_key, in the order in which they were written."""
    ordered = sorted(store.iter_records(job_id, curves=curves), key=lambda stored: stored.seq)
    return {stored.record.config_key: stored.record for stored in ordered}
