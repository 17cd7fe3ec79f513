"""The spec of a job that is stored: valid when it was submitted, whatever is known here now."""

from benchmark import BenchmarkError, Spec, SpecError
from service.store import Job


class ForgottenNameError(BenchmarkError):
    """A job names an optimizer or a task that is not known here any more."""


def spec_of(job: Job) -> Spec:
    """Return the spec of a job.

    Raises:
        ForgottenNameError: when it names what is not known here, such as an optimizer of a plug-in that was allowed.
    """
    try:
        return Spec.from_mapping(job.spec, max_cells=job.n_cells)
    except SpecError as error:
        said = "; ".join(map(str, error.problems[:3]))
        raise ForgottenNameError(
            f"job {job.id} was valid when it was submitted, but is not any more: {said} "
            "If a plug-in offered it, install it where this runs, and name it in RHOBUST_PLUGINS."
        ) from error
