"""What a job has so far: its spec, the records it uses, and its robustness table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark import Record, Spec
from benchmark.robustness import RobustnessTable
from benchmark.several import Source, several_table
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


def jobs_table(store: Store, job_ids: Sequence[str]) -> RobustnessTable:
    """Return one table over several jobs; one whose name is not unique among them goes by its id.

    Raises:
        NotFoundError: when there is no job of an id.
        TableError: where the jobs do not fit together, with what differs.
    """
    every = [job_results(store, job_id) for job_id in job_ids]
    counts = Counter(results.job.name for results in every)
    return several_table(
        [Source(one.job.name if counts[one.job.name] == 1 else one.job.id, one.spec, one.records) for one in every]
    )


def job_records(store: Store, job_id: str, *, curves: bool = False) -> dict[str, Record]:
    """Return the records that a job uses, by config_key, in the order in which they were written."""
    ordered = sorted(store.iter_records(job_id, curves=curves), key=lambda stored: stored.seq)
    return {stored.record.config_key: stored.record for stored in ordered}
