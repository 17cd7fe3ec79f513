"""Submission: what of a spec is kept as a job."""

from benchmark import Spec
from service.store import NewJob


def new_job(spec: Spec, *, submitted_by: str = "local") -> NewJob:
    """Return the job that runs a spec."""
    return NewJob(
        name=spec.name,
        spec=spec.to_dict(),
        n_cells=spec.n_cells,
        tags=spec.tags,
        priority=spec.priority,
        submitted_by=submitted_by,
    )
