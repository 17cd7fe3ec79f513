"""Submission: what of a spec is kept as a job."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from benchmark import Spec
from service.store import NewJob


def new_job(spec: Spec, *, submitted_by: str = "local", execution: Mapping[str, Any] = MappingProxyType({})) -> NewJob:
    """Return the job that runs a spec.

    Args:
        spec: what to run.
        submitted_by: who asked.
        execution: fused or sequential by task and optimizer, where it is to be as in a job that it is compared with.
    """
    return NewJob(
        name=spec.name,
        spec=spec.to_dict(),
        n_cells=spec.n_cells,
        tags=spec.tags,
        priority=spec.priority,
        submitted_by=submitted_by,
        execution=dict(execution),
    )
