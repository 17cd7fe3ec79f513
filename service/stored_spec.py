"""The spec of a job that is stored: valid when it was submitted, whatever is known here now."""

import sys
from collections.abc import Mapping
from typing import Any

from benchmark import BenchmarkError, Spec, SpecError
from service.store import Job


class ForgottenNameError(BenchmarkError):
    """A job names an optimizer or a task that is not known here any more."""


def spec_of(job: Job) -> Spec:
    """Return the spec of a job.

    Raises:
        ForgottenNameError: when it names what is not known here, such as an optimizer of a plug-in that was allowed.
    """
    # a rerun may have but a few of the cells of its spec
    max_cells = job.n_cells if job.rerun is None else sys.maxsize
    return known_spec(job.spec, max_cells, f"job {job.id} was valid when it was submitted")


def known_spec(document: Mapping[str, Any], max_cells: int, once: str) -> Spec:
    """Return a spec that was valid once; raises ForgottenNameError, which begins with what `once` says of it."""
    try:
        return Spec.from_mapping(document, max_cells=max_cells)
    except SpecError as error:
        said = "; ".join(map(str, error.problems[:3]))
        raise ForgottenNameError(
            f"{once}, but is not any more: {said} "
            "If a plug-in offered it, install it where this runs, and name it in RHOBUST_PLUGINS."
        ) from error
