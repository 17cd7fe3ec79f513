"""Judging: runs of schedules whose jobs have ended are compared, measured, and written down."""

import logging
from collections.abc import Mapping

from benchmark import BenchmarkError, Spec
from benchmark.canonical import content_hash
from benchmark.regression import Comparison, Side, Verdict, compare, run_measures
from service.comparing import limits_of_baseline, side_of
from service.results import JobResults, job_results
from service.states import JobState
from service.store import Baseline, EndedRun, Judgement, NotFoundError, RunState, Store, StoreError, Thresholds

NOTHING_TO_COMPARE = "there is nothing to compare with yet"
_NOT_MEASURED = frozenset({"name", "tags", "priority", "reuse", "resources", "limits"})  # of a spec
logger = logging.getLogger("rhobust.schedules")


def judge_ended_runs(store: Store) -> bool:
    """Judge the runs of schedules whose jobs have ended.

    Returns:
        Whether one was judged.
    """
    judged = False
    for ended in store.ended_runs():
        try:
            judgement = judge(store, ended)
        except NotFoundError:  # a job was deleted just now; the next round sees that
            continue
        if store.settle_run(ended, judgement):
            judged = True
            said = judgement.verdict or judgement.reason
            logger.info("run %s of schedule %s is %s: %s", ended.id, ended.schedule_id, judgement.state, said)
    return judged


def judge(store: Store, ended: EndedRun) -> Judgement:
    """Return what is to be said of a run.

    Raises:
        NotFoundError: if its job, or the one that it is compared with, was deleted just now.
        StoreError: if the database cannot be read.
    """
    if ended.job_id is None:
        return _failed("its job was deleted before it was judged")
    made_by = store.job(ended.job_id).made_by
    if ended.job_state != JobState.COMPLETED:
        return _failed(_ending(ended), made_by)
    try:
        return _judged(store, ended, job_results(store, ended.job_id))
    except StoreError:
        raise
    except BenchmarkError as error:
        return _failed(f"it cannot be judged: {error}", made_by)
    except Exception as error:  # else the run would be tried again for ever, and nobody told
        logger.exception("run %s cannot be judged", ended.id)
        return _failed(f"it cannot be judged, by a fault of ours: {type(error).__name__}: {error}", made_by)


def _judged(store: Store, ended: EndedRun, results: JobResults) -> Judgement:
    baseline = _baseline(store, ended)
    side = side_of(results)
    comparison = _comparison(store, ended, baseline, side)
    spec_key = _measured(results.spec)
    earlier = store.reference_before(ended.id)
    y_ref = {} if baseline is None else baseline.y_ref
    if earlier is not None and earlier["spec"] == spec_key:
        y_ref = earlier["y_ref"]
    measured = run_measures(side, y_ref, comparison)
    fingerprints = sorted({record.fingerprint for record in results.records.values()})
    return Judgement(
        state=RunState.JUDGED,
        verdict=None if comparison is None else str(comparison.verdict),
        comparison=None if comparison is None else comparison.to_dict(),
        measures=measured.values,
        reference={"spec": spec_key, "y_ref": measured.y_ref, "margins": measured.margins},
        made_by={**(results.job.made_by or {}), "fingerprints": fingerprints},
        reason=_reason(comparison),
    )


def _measured(spec: Spec) -> str:
    """Return the hash of what of a spec decides what is measured."""
    return content_hash({name: value for name, value in spec.to_dict().items() if name not in _NOT_MEASURED})


def _baseline(store: Store, ended: EndedRun) -> Baseline | None:
    """Return the named baseline of a run, as long as it names the job that the run is to be compared with."""
    if ended.baseline_name is None:
        return None
    try:
        named = store.baseline(ended.baseline_name)
    except NotFoundError:
        return None
    return named if named.job_id == ended.baseline_job_id else None


def _comparison(store: Store, ended: EndedRun, baseline: Baseline | None, candidate: Side) -> Comparison | None:
    if ended.baseline_job_id is None:
        return None
    before = job_results(store, ended.baseline_job_id)
    thresholds = Thresholds.from_dict(ended.thresholds)
    return compare(
        side_of(before),
        candidate,
        y_ref={} if baseline is None else baseline.y_ref,
        limits=None if baseline is None else limits_of_baseline(baseline),
        factor=thresholds.factor,
        only=thresholds.measures,
    )


def _reason(comparison: Comparison | None) -> str | None:
    if comparison is None:
        return NOTHING_TO_COMPARE
    if comparison.verdict is Verdict.NOT_TESTED:
        reasons = dict.fromkeys(change.reason for change in comparison.measures if change.reason)
        return f"nothing could be tested: {'; '.join(list(reasons)[:3])}"
    return None


def _ending(ended: EndedRun) -> str:
    if ended.job_state == JobState.CANCELLED:
        return "its job was cancelled"
    return f"its job failed: {ended.job_error or 'it does not say why'}"


def _failed(reason: str, made_by: Mapping[str, str] | None = None) -> Judgement:
    return Judgement(state=RunState.FAILED, made_by=made_by, reason=reason)
