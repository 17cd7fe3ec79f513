"""Comparing: what changed from a baseline, or any job, to another job; and what makes a job a baseline."""

from types import MappingProxyType

from benchmark.probes import Probe
from benchmark.regression import Limits, Side, compare
from benchmark.tables import spec_table
from service.compared import ComparedJob, JobsCompared
from service.results import JobResults, job_results
from service.store import Baseline, Job, NotFoundError, Store, UnfitJobError


def set_baseline(store: Store, name: str, job_id: str, *, principal: str = "local") -> tuple[Baseline, bool]:
    """Give a job a name under which others are compared with it; the references of its table are kept with it.

    Returns:
        The baseline as it is now, and whether this call made it.

    Raises:
        NotFoundError: if there is no job of that id.
        UnfitJobError: if the job is not completed, lacks cells, was not made in one way, or replays another one.
        InvalidValueError: if the name cannot be kept.
        ForgottenNameError: if the job names what is not known here.
    """
    results = job_results(store, job_id)
    table = spec_table(results.spec, results.records)
    if results.job.rerun is not None and not table.complete:
        raise UnfitJobError(
            f"a baseline must have every cell of its spec, but job {job_id} trained some of job "
            f"{results.job.rerun_of} again."
        )
    y_ref = {task.task: task.y_ref for task in table.tasks if task.y_ref is not None}
    return store.set_baseline(name, results.job.id, y_ref, revision=results.job.revision, principal=principal)


def named_or_job(store: Store, text: str) -> Baseline | str:
    """Return the baseline of a name, or else the id of a job.

    Raises:
        NotFoundError: if there is neither.
    """
    try:
        return store.baseline(text)
    except NotFoundError:
        pass
    try:
        return store.job(text).id
    except NotFoundError:
        raise NotFoundError(f"there is neither a baseline nor a job {text[:200]!r}.") from None


def job_of(store: Store, baseline: Baseline | str) -> Job:
    """Return the job of a baseline, or of an id; raises NotFoundError if there is none."""
    return store.job(baseline.job_id if isinstance(baseline, Baseline) else baseline)


def compared_jobs(store: Store, baseline: Baseline | str, candidate: str) -> JobsCompared:
    """Return what changed from a baseline to a job, of what is recorded so far.

    Args:
        store: where both are.
        baseline: with its references and limits; or the id of a job, which has neither.
        candidate: id of a job.

    Raises:
        NotFoundError: if there is no job of an id.
        ComparisonError: where the two have no task, or no seed, in common.
        ForgottenNameError: if one of them names what is not known here.
    """
    named = baseline if isinstance(baseline, Baseline) else None
    before = job_results(store, baseline.job_id if isinstance(baseline, Baseline) else baseline)
    after = job_results(store, candidate)
    found = compare(
        side_of(before),
        side_of(after),
        y_ref=MappingProxyType({}) if named is None else named.y_ref,
        limits=None if named is None else limits_of_baseline(named),
    )
    return JobsCompared(None if named is None else named.name, _told(before), _told(after), found)


def _told(results: JobResults) -> ComparedJob:
    n_results = sum(record.outcome.status.is_result for record in results.records.values())
    job = results.job
    made_by = None if job.made_by is None else dict(job.made_by)
    return ComparedJob(job.id, job.name, job.state, job.n_cells - n_results, made_by)


def limits_of_baseline(baseline: Baseline) -> Limits | None:
    """Return the limits that replays of a baseline set; None where it is not calibrated."""
    return None if baseline.limits is None else Limits.from_dict(baseline.limits)


def side_of(results: JobResults) -> Side:
    """Return what a job has so far as a side of a comparison."""
    probes = {key: Probe.from_dict(document) for key, document in (results.job.probes or {}).items()}
    return Side(results.spec, results.records, probes)
