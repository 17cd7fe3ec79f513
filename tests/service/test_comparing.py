"""Two jobs are compared with the references and limits of the baseline that names one of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmark import ComparisonError, Outcome
from benchmark.regression import Limits, Verdict
from benchmark.spec import Cell
from service.compared import JobsCompared
from service.comparing import compared_jobs, limits_of_baseline, named_or_job, set_baseline
from service.results import job_table
from service.states import JobState
from service.store import Job, NotFoundError, Store, UnfitJobError
from tests.service.filling import completed, run_made_up, small_spec, submit

N_SEEDS = 10


@pytest.fixture
def backend() -> str:
    """The store's own tests run on both databases; these are about what is computed."""
    return "sqlite"


def worse(cell: Cell) -> Outcome:
    """Return an outcome whose scores are lower by .1 under msam."""
    outcome = completed(cell)
    if cell.optimizer != "msam":
        return outcome
    metrics = {name: value - 0.1 if "accuracy" in name else value for name, value in outcome.metrics.items()}
    return replace(outcome, metrics=metrics)


def better(cell: Cell) -> Outcome:
    outcome = completed(cell)
    metrics = {name: value + 0.05 if "accuracy" in name else value for name, value in outcome.metrics.items()}
    return replace(outcome, metrics=metrics)


def finished(store: Store, outcome_of: Callable[[Cell], Outcome] = completed, **changes: Any) -> Job:
    return run_made_up(store, submit(store, small_spec(seeds={"count": N_SEEDS}) | changes), outcome_of)


def test_a_baseline_keeps_the_references_of_its_table(store: Store) -> None:
    job = finished(store)
    baseline, is_new = set_baseline(store, "main", job.id, principal="me")
    assert is_new
    assert baseline.y_ref == {task.task: task.y_ref for task in job_table(store, job.id).tasks}
    assert baseline.set_by == "me"
    assert not set_baseline(store, "main", job.id)[1]


def test_a_job_that_is_not_whole_is_no_baseline(store: Store) -> None:
    job = run_made_up(store, submit(store), n=3, state=JobState.CANCELLED)
    with pytest.raises(UnfitJobError, match="is cancelled"):
        set_baseline(store, "main", job.id)


def test_a_job_that_is_worse_has_regressed_on_one_optimizer(store: Store) -> None:
    baseline, _ = set_baseline(store, "main", finished(store).id)
    found = compared_jobs(store, baseline, finished(store, worse).id).comparison
    assert found.verdict is Verdict.REGRESSED
    assert {change.optimizer for change in found.with_verdict(Verdict.REGRESSED)} == {"msam"}
    assert not found.is_calibrated


def test_the_same_scores_are_the_same(store: Store) -> None:
    job = finished(store)
    found = compared_jobs(store, job.id, finished(store).id).comparison
    assert found.verdict is Verdict.SAME
    assert all(pairs.n == pairs.n_identical for pairs in found.pairs)


def test_scores_are_measured_against_the_reference_that_was_kept(store: Store) -> None:
    before, after = finished(store), finished(store, better)
    baseline, _ = set_baseline(store, "main", before.id)
    by_name, by_job = (
        compared_jobs(store, baseline, after.id).comparison,
        compared_jobs(store, before.id, after.id).comparison,
    )
    assert by_name == by_job  # the reference is that of the baseline's job in both
    doubled = replace(baseline, y_ref={task: 2 * value for task, value in baseline.y_ref.items()})
    other = compared_jobs(store, doubled, after.id).comparison
    pairs = [
        (first.difference, second.difference)
        for first, second in zip(by_name.measures, other.measures, strict=True)
        if first.name == "grid_mean"
    ]
    assert all(first is not None and second is not None and second < 0.6 * first for first, second in pairs)


def test_limits_of_a_baseline_are_its_margins(store: Store) -> None:
    baseline, _ = set_baseline(store, "main", finished(store).id)
    limits = Limits(50.0, 0.5, 1, (2.0, 50.0))
    calibrated = replace(baseline, limits=limits.to_dict())
    assert limits_of_baseline(calibrated) == limits
    found = compared_jobs(store, calibrated, finished(store, worse).id).comparison
    assert found.is_calibrated
    assert found.verdict is Verdict.SAME  # .1 is ten tolerances


def test_a_candidate_that_has_just_begun_is_not_tested(store: Store) -> None:
    baseline, _ = set_baseline(store, "main", finished(store).id)
    queued = submit(store, small_spec(seeds={"count": N_SEEDS}))
    found = compared_jobs(store, baseline, queued.id).comparison
    assert found.verdict is Verdict.NOT_TESTED
    assert all(change.reason for change in found.measures)


def test_jobs_without_a_common_task_are_refused(store: Store) -> None:
    other = finished(store, tasks=[{"name": "digits-mlp", "label": "other", "params": {"hidden": 8}}])
    with pytest.raises(ComparisonError, match="must share a task"):
        compared_jobs(store, finished(store).id, other.id)


def test_a_name_is_found_before_a_job(store: Store) -> None:
    job = finished(store)
    assert named_or_job(store, job.id) == job.id
    baseline, _ = set_baseline(store, "main", job.id)
    assert named_or_job(store, "main") == baseline
    with pytest.raises(NotFoundError, match="there is neither a baseline nor a job 'nope'"):
        named_or_job(store, "nope")


def test_both_jobs_say_what_they_were_made_by(store: Store) -> None:
    jobs = [submit(store), submit(store)]
    for job, revision in zip(jobs, ("old", "new"), strict=True):
        claimed = store.claim("a-dispatcher", 60.0, only=job.id)
        assert claimed is not None
        store.set_execution(job.id, claimed.attempt, {}, made_by={"revision": revision})
        store.release(job.id, claimed.attempt, crashed=False)
        run_made_up(store, store.job(job.id))
    compared = compared_jobs(store, jobs[0].id, jobs[1].id)
    assert (compared.baseline.made_by, compared.candidate.made_by) == ({"revision": "old"}, {"revision": "new"})
    assert JobsCompared.from_dict(compared.to_dict()) == compared
    assert compared_jobs(store, finished(store, seeds={"count": 2}).id, jobs[1].id).baseline.made_by is None
