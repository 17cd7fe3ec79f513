"""What a rerun is made of, what is left of it after an interruption, and what is said of it, on made-up records."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from benchmark import Outcome, PackPlace, Record, RerunError, Spec
from benchmark.regression import Limits, Sameness
from benchmark.spec import Cell, expand
from service.comparing import set_baseline
from service.repeated import RerunAnswer, rerun_answer
from service.rerunning import Rerun, WantedPack, new_rerun, packs_to_train
from service.states import IllegalTransitionError, JobState
from service.store import Job, NotFoundError, PlacedRecord, Store, TrainedPack, UnfitJobError, WantedCell
from service.stored_spec import spec_of
from service.submission import new_job
from tests.service.filling import (
    FINGERPRINT,
    LEASE_S,
    completed,
    diverged,
    failed,
    run_made_up,
    small_spec,
    submit,
    timed_out,
)

SPEC = small_spec(
    optimizers=[{"name": "sam", "space": {"rho": {"values": [0.1, 1.0]}}}],
    gd=False,
    resources={"pack": "fused", "cpus_per_pack": 2},
    tags=["nightly"],
    priority=3,
)
CELLS = list(expand(Spec.from_mapping(SPEC)))
NO_LUCK = "RuntimeError: no luck"  # what `failed` says
N = 8
ALL = tuple(range(N))
BELOW = -1_000.0  # a limit that is exceeded even where two seeds leave everything in doubt


@pytest.fixture
def backend() -> str:
    """What is read is tested on both databases where the store is tested."""
    return "sqlite"


def fused(cell: Cell, outcome_of: Callable[[Cell], Outcome] = completed) -> Outcome:
    outcome = outcome_of(cell)
    return replace(outcome, cost=replace(outcome.cost, execution="fused", amortised=True))


def write_pack(
    store: Store,
    job: Job,
    pack: str,
    places: Sequence[int],
    *,
    outcome_of: Callable[[Cell], Outcome] = completed,
    size: int | None = None,
    kept: Sequence[int] | None = None,
    fingerprint: str = FINGERPRINT,
) -> None:
    """Write the records of a fused pack of the cells with these numbers, or of some of them alone."""
    store.register({cell.setting.key: cell.setting.to_dict() for cell in CELLS}, {fingerprint: {"torch": "2.13.0"}})
    placed = []
    for position, place in enumerate(places):
        if kept is None or place in kept:
            cell, where = CELLS[place], PackPlace(pack, size or len(places), position)
            outcome = fused(cell, outcome_of)
            record = Record(cell.key, fingerprint, cell.setting.key, cell.hyperparameters, cell.seed, outcome, where)
            placed.append(PlacedRecord(record, cell.task, cell.optimizer))
    store.write_records(job.id, job.attempt, placed, LEASE_S)


def claimed(store: Store, job: Job) -> Job:
    found = store.claim("somebody", LEASE_S, only=job.id)
    assert found is not None
    return found


def ended(store: Store, job: Job) -> Job:
    return store.finish(job.id, job.attempt, JobState.COMPLETED)


def packed(store: Store, document: dict[str, Any] = SPEC) -> Job:
    """Return a completed job of two packs."""
    job = claimed(store, submit(store, document))
    write_pack(store, job, "a", (3, 0, 5))
    write_pack(store, job, "b", (7, 6, 4, 2, 1))
    return ended(store, job)


def records(store: Store, job: Job) -> dict[int, Record]:
    """Return the records of a job by the number of their cell."""
    numbers = {cell.key: number for number, cell in enumerate(CELLS)}
    return {numbers[stored.record.config_key]: stored.record for stored in store.iter_records(job.id)}


def rerun(store: Store, job: Job, ids: Sequence[str] | None = None) -> Job:
    return store.submit(new_rerun(store, job.id, ids, submitted_by="me"))[0]


def cells_of(store: Store, job: Job, done: Sequence[int] = ()) -> list[tuple[list[int], list[int]]]:
    """Return, of each pack that is to be trained, the numbers of its cells and of those that are kept."""
    numbers = {cell.key: number for number, cell in enumerate(CELLS)}
    packs = packs_to_train(store, job, spec_of(job), {CELLS[place].key for place in done})
    return [
        ([numbers[cell.key] for cell in pack.cells], [numbers[pack.cells[place].key] for place in sorted(pack.kept)])
        for pack in packs
    ]


def test_a_rerun_is_a_job_of_the_packs_of_another(store: Store) -> None:
    job = packed(store)
    again = rerun(store, job)
    assert (again.state, again.rerun_of, again.n_cells, again.name) == (JobState.QUEUED, job.id, N, "small")
    assert (again.tags, again.priority, again.submitted_by) == (("nightly", "rerun"), 3, "me")
    assert again.spec["reuse"] is False
    assert {**again.spec, "reuse": True, "tags": ["nightly"]} == job.spec
    assert Rerun.of(again) == Rerun(
        (WantedPack(TrainedPack(job.id, 1, "a"), 2, None), WantedPack(TrainedPack(job.id, 1, "b"), 2, None)), None
    )
    assert cells_of(store, again) == [([3, 0, 5], [3, 0, 5]), ([7, 6, 4, 2, 1], [7, 6, 4, 2, 1])]
    packs = packs_to_train(store, again, spec_of(again), ())
    assert {(pack.execution, pack.n_cpus) for pack in packs} == {("fused", 2)}


def test_execution_and_replay_are_kept(store: Store) -> None:
    job, _ = store.submit(replace(new_job(Spec.from_mapping(SPEC)), replay=4))
    found = claimed(store, job)
    store.set_execution(job.id, found.attempt, {"digits-mlp": {"sam": "fused"}})
    write_pack(store, found, "a", ALL)
    ended(store, found)
    again = rerun(store, job)
    assert (again.replay, again.execution) == (4, {"digits-mlp": {"sam": "fused"}})


def test_a_record_that_is_asked_for_brings_its_whole_pack_and_nothing_else(store: Store) -> None:
    job = packed(store)
    again = rerun(store, job, [records(store, job)[6].id])
    assert again.n_cells == 5
    assert cells_of(store, again) == [([7, 6, 4, 2, 1], [7, 6, 4, 2, 1])]
    write_pack(store, claimed(store, again), "c", (7, 6, 4, 2, 1))
    ended(store, store.job(again.id))
    progress = store.progress(again.id)
    assert (progress.total, progress.n_linked, progress.n_missing) == (5, 5, 0)
    answer = rerun_answer(store, again.id)
    assert (answer.verdict, answer.n_asked) == (Sameness.IDENTICAL, 1)
    assert [one.before.config_key for one in answer.records] == [CELLS[6].key]


def test_what_was_interrupted_goes_on_with_whole_packs(store: Store) -> None:
    job = packed(store)
    again = rerun(store, job)
    assert cells_of(store, again, done=(3, 0, 5)) == [([7, 6, 4, 2, 1], [7, 6, 4, 2, 1])]
    assert cells_of(store, again, done=(3, 0, 5, 7, 2)) == [([7, 6, 4, 2, 1], [6, 4, 1])], "with company"
    assert cells_of(store, again, done=ALL) == []


def test_a_cell_that_was_trained_again_by_a_retry_is_company_where_it_was_first(store: Store) -> None:
    job = claimed(store, submit(store, SPEC))
    write_pack(
        store, job, "a", (0, 1, 2, 3), outcome_of=lambda cell: (timed_out if cell is CELLS[2] else completed)(cell)
    )
    write_pack(store, job, "b", (4, 5, 6, 7))
    ended(store, job)
    store.retry(job.id)
    second = claimed(store, job)
    write_pack(store, second, "c", (2,))
    ended(store, second)
    again = rerun(store, job)
    assert again.n_cells == N
    assert cells_of(store, again) == [([0, 1, 2, 3], [0, 1, 3]), ([4, 5, 6, 7], [4, 5, 6, 7]), ([2], [2])]


def reusing(store: Store, makers: Sequence[int]) -> Job:
    """Return a completed job that takes the records of some cells from others, and trains the rest."""
    job = claimed(store, submit(store, {**SPEC, "name": "reusing"}))
    wanted = [WantedCell(CELLS[place].key, FINGERPRINT, CELLS[place].task, "sam") for place in makers]
    assert len(store.link_reusable(job.id, job.attempt, wanted, LEASE_S)) == len(makers)
    write_pack(store, job, "own", [place for place in ALL if place not in makers])
    return ended(store, job)


def test_what_was_reused_is_trained_beside_the_cells_of_the_job_that_trained_it(store: Store) -> None:
    maker = packed(store, {**SPEC, "resources": {"pack": "fused", "cpus_per_pack": 1}})
    job = reusing(store, (0, 6, 1))
    again = rerun(store, job)
    assert again.n_cells == N
    assert cells_of(store, again) == [
        ([3, 0, 5], [0]),
        ([7, 6, 4, 2, 1], [6, 1]),
        ([2, 3, 4, 5, 7], [2, 3, 4, 5, 7]),
    ]
    assert [pack.n_cpus for pack in packs_to_train(store, again, spec_of(again), ())] == [1, 1, 2]
    assert maker.spec["resources"]["cpus_per_pack"] == 1


def test_what_was_reused_from_a_rerun_is_trained_beside_the_cells_of_that_rerun(store: Store) -> None:
    """It has no record of its company; the packs that it repeated have, however many reruns lie between."""
    packed(store)
    first = reusing(store, (0, 6, 1))
    previous = first
    for number in range(2):
        again = claimed(store, rerun(store, previous))
        write_pack(store, again, f"a{number}", (3, 0, 5), kept=(0,))
        write_pack(store, again, f"b{number}", (7, 6, 4, 2, 1), kept=(6, 1))
        write_pack(store, again, f"own{number}", (2, 3, 4, 5, 7))
        previous = ended(store, again)
        assert rerun_answer(store, again.id).verdict is Sameness.IDENTICAL
    last = rerun(store, previous)
    assert cells_of(store, last) == [
        ([3, 0, 5], [0]),
        ([7, 6, 4, 2, 1], [6, 1]),
        ([2, 3, 4, 5, 7], [2, 3, 4, 5, 7]),
    ]


def test_company_whose_records_are_gone_is_missed_and_nothing_is_called_identical(store: Store) -> None:
    maker = packed(store)
    job = reusing(store, (0, 6, 1))
    store.delete(maker.id)
    again = rerun(store, job)
    assert cells_of(store, again)[:2] == [([0], [0]), ([6, 1], [6, 1])]
    found = claimed(store, again)
    write_pack(store, found, "a", (0,))
    write_pack(store, found, "b", (6, 1))
    write_pack(store, found, "own", (2, 3, 4, 5, 7))
    ended(store, found)
    answer = rerun_answer(store, again.id)
    assert answer.verdict is Sameness.WITHIN_NOISE
    counts = answer.to_dict()["counts"]
    assert counts == {"identical": 5, "within_noise": 3, "different": 0, "not_compared": 0}
    assert answer.reason == (
        "3 of 8 records are only within noise; the first: it was trained beside other cells than then"
    )


def test_a_job_that_has_not_ended_or_has_no_result_is_not_trained_again(store: Store) -> None:
    job = submit(store, SPEC)
    with pytest.raises(IllegalTransitionError, match="cannot rerun a job that is queued"):
        new_rerun(store, job.id)
    run_made_up(store, job, failed, state=JobState.FAILED)
    with pytest.raises(RerunError, match=f"job {job.id} must have a result to be trained again, but has none"):
        new_rerun(store, job.id)
    with pytest.raises(RerunError, match=r"must be a result, but [0-9a-f]{32} is failed; retry the job instead"):
        new_rerun(store, job.id, [records(store, job)[0].id])
    with pytest.raises(RerunError, match=f"must be one of job {job.id}, but 0{{32}} is not"):
        new_rerun(store, job.id, ["0" * 32])
    with pytest.raises(NotFoundError, match="there is no job 'nothing'"):
        new_rerun(store, "nothing")
    with pytest.raises(NotFoundError, match=f"job {job.id} trains no other job again"):
        rerun_answer(store, job.id)


def test_an_interrupted_job_is_trained_again_as_far_as_it_came(store: Store) -> None:
    job = claimed(store, submit(store, SPEC))
    write_pack(store, job, "a", (3, 0, 5), outcome_of=diverged)
    store.finish(job.id, job.attempt, JobState.CANCELLED)
    again = rerun(store, job)
    assert (again.n_cells, cells_of(store, again)) == (3, [([3, 0, 5], [3, 0, 5])])


def test_records_that_are_gone_fail_the_rerun_and_the_answer_says_so(store: Store) -> None:
    job = packed(store)
    again = rerun(store, job)
    store.delete(job.id)
    with pytest.raises(RerunError, match="all 8 records that this job trains again must be there, but 8 are gone"):
        packs_to_train(store, again, spec_of(again), ())
    answer = rerun_answer(store, again.id)
    assert (answer.verdict, answer.records) == (None, ())
    assert answer.reason == "8 of the first records are gone: the job that had them was deleted"


def test_a_rerun_is_not_extended(store: Store) -> None:
    again = rerun(store, packed(store))
    run_made_up(store, again)
    with pytest.raises(
        IllegalTransitionError, match=r"it trains cells of job \w+ again, and no others; allowed: retry"
    ):
        store.extend(again.id, again.spec, N)


def answered(store: Store, outcome_of: Callable[[Cell], Outcome], **options: Any) -> RerunAnswer:
    """Return the answer where the packs came out so."""
    again = claimed(store, rerun(store, packed(store)))
    write_pack(store, again, "a", (3, 0, 5), **options)
    write_pack(store, again, "b", (7, 6, 4, 2, 1), outcome_of=outcome_of, **options)
    ended(store, again)
    return rerun_answer(store, again.id)


def off_by(cell: Cell, much: float) -> Outcome:
    outcome = completed(cell)
    return replace(outcome, metrics={name: value + much for name, value in outcome.metrics.items()})


@pytest.mark.parametrize(
    ("outcome_of", "verdict", "reason"),
    [
        (completed, Sameness.IDENTICAL, None),
        (
            lambda cell: off_by(cell, 0.009 * (cell is CELLS[6])),
            Sameness.WITHIN_NOISE,
            "1 of 8 records are only within noise; the first: train_loss is not the same to the last bit",
        ),
        (
            lambda cell: off_by(cell, 0.011 * (cell is CELLS[6])),
            Sameness.DIFFERENT,
            "1 of 8 records are different; the first: test_accuracy is off by +0.011",
        ),
        (
            lambda cell: (failed if cell is CELLS[6] else completed)(cell),
            None,
            f"1 of 8 records cannot be compared; the first: the new record is failed: {NO_LUCK} (job completed)",
        ),
    ],
)
def test_all_records_together_are_what_the_worst_of_them_is(
    store: Store, outcome_of: Callable[[Cell], Outcome], verdict: Sameness | None, reason: str | None
) -> None:
    answer = answered(store, outcome_of)
    assert answer.verdict is verdict
    if answer.reason != reason:
        # both scores are off by as much, but for rounding
        assert str(answer.reason).replace("val_accuracy", "test_accuracy") == reason
    assert answer.tolerances == {"digits-mlp": 0.01}
    assert len(answer.records) == N


def test_another_making_is_never_identical(store: Store) -> None:
    answer = answered(store, completed, fingerprint="f" * 32)
    assert answer.verdict is Sameness.WITHIN_NOISE
    assert "another version of the code" in str(answer.reason)


def test_what_is_not_trained_yet_is_said(store: Store) -> None:
    again = claimed(store, rerun(store, packed(store)))
    write_pack(store, again, "a", (3, 0, 5))
    answer = rerun_answer(store, again.id)
    assert answer.verdict is None
    assert answer.reason == ("5 of 8 records cannot be compared; the first: it was not trained again yet (job running)")
    assert answer.to_dict()["counts"] == {"identical": 3, "within_noise": 0, "different": 0, "not_compared": 5}
    assert {one.repetition.verdict for one in answer.records if one.again} == {Sameness.IDENTICAL}


def test_the_rerun_of_a_failed_cell_that_is_retried_is_whole_again(store: Store) -> None:
    again = claimed(store, rerun(store, packed(store)))
    write_pack(store, again, "a", (3, 0, 5), outcome_of=lambda cell: (failed if cell is CELLS[0] else completed)(cell))
    write_pack(store, again, "b", (7, 6, 4, 2, 1))
    store.finish(again.id, again.attempt, JobState.FAILED)
    assert store.progress(again.id).n_missing == 1
    store.retry(again.id)
    second = claimed(store, again)
    done = store.done_keys(again.id) | store.failed_keys(again.id)
    numbers = [number for number, cell in enumerate(CELLS) if cell.key in done]
    assert cells_of(store, again, done=numbers) == [([3, 0, 5], [0])]
    write_pack(store, second, "c", (3, 0, 5), kept=(0,))
    ended(store, second)
    assert store.progress(again.id).n_missing == 0
    assert rerun_answer(store, again.id).verdict is Sameness.IDENTICAL


def test_a_pack_is_read_as_it_was_written() -> None:
    pack = WantedPack(TrainedPack("job", 2, "a"), 1, (0, 3), TrainedPack("first", 1, "b"))
    assert WantedPack.from_dict(pack.to_dict()) == pack


@pytest.mark.parametrize(
    ("factors", "much", "verdict"),
    [
        ((), 0.02, Sameness.DIFFERENT),
        ((None,), 0.02, Sameness.DIFFERENT),
        ((50.0,), 0.02, Sameness.WITHIN_NOISE),
        ((50.0,), -0.02, Sameness.WITHIN_NOISE),
        ((50.0, BELOW), 0.02, Sameness.DIFFERENT),
        ((BELOW,), -0.02, Sameness.DIFFERENT),
        ((BELOW,), 0.0, Sameness.IDENTICAL),
    ],
)
def test_of_a_calibrated_baseline_its_limits_decide_on_all_together(
    store: Store, factors: Sequence[float | None], much: float, verdict: Sameness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = packed(store)
    limits = {}
    for number, factor in enumerate(factors):
        baseline, _ = set_baseline(store, f"main-{number}", job.id)
        limits[baseline.name] = None if factor is None else Limits(factor, 0.5, 1, (factor,))
    monkeypatch.setattr("service.repeated.limits_of_baseline", lambda one: limits[one.name])
    again = claimed(store, rerun(store, job))
    write_pack(store, again, "a", (3, 0, 5))
    write_pack(store, again, "b", (7, 6, 4, 2, 1), outcome_of=lambda cell: off_by(cell, much))
    ended(store, again)
    answer = rerun_answer(store, again.id)
    assert answer.verdict is verdict
    by_limits = verdict is not Sameness.IDENTICAL and any(factors)
    assert answer.baseline == (f"main-{len(factors) - 1}" if by_limits else None)
    assert ("yardsticks at most" in str(answer.reason)) == by_limits


def test_some_records_of_a_calibrated_baseline_are_judged_one_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = packed(store)
    set_baseline(store, "main", job.id)
    monkeypatch.setattr("service.repeated.limits_of_baseline", lambda _: Limits(50.0, 0.5, 1, (50.0,)))
    again = claimed(store, rerun(store, job, [records(store, job)[6].id]))
    write_pack(store, again, "b", (7, 6, 4, 2, 1), outcome_of=lambda cell: off_by(cell, 0.02))
    ended(store, again)
    answer = rerun_answer(store, again.id)
    assert (answer.verdict, answer.baseline) == (Sameness.DIFFERENT, None)


def test_a_rerun_of_some_records_is_no_baseline_and_one_of_all_is(store: Store) -> None:
    job = packed(store)
    part = claimed(store, rerun(store, job, [records(store, job)[6].id]))
    write_pack(store, part, "b", (7, 6, 4, 2, 1))
    ended(store, part)
    with pytest.raises(UnfitJobError, match=f"every cell of its spec, but job {part.id} trained some of job {job.id}"):
        set_baseline(store, "part", part.id)
    whole = claimed(store, rerun(store, job))
    write_pack(store, whole, "a", ALL)
    ended(store, whole)
    assert set_baseline(store, "whole", whole.id)[0].job_id == whole.id
