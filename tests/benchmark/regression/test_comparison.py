"""Comparisons of two jobs: what changed, what did not, what cannot be said; false alarms and power by simulation."""

import math

import numpy as np
import pytest

from benchmark import ComparisonError, Spec
from benchmark.regression import Change, Comparison, Side, Verdict, compare, limits_of, worst_change
from benchmark.regression.measuring import EDGE, PLACES, TESTED
from benchmark.spec import Cell
from tests.benchmark.regression.simulated import TASK, side, spec
from tests.service.filling import completed, diverged, failed, records_by_key, small_spec

MEANS = {"grid_mean", "iqm", "expected_best_4", EDGE}


def change(comparison: Comparison, name: str, optimizer: str = "msam") -> Change:
    (found,) = [one for one in comparison.measures if (one.name, one.optimizer) == (name, optimizer)]
    return found


def test_a_job_is_the_same_as_itself_in_every_measure() -> None:
    one = side(spec())
    comparison = compare(one, one)
    assert {pairs.n_identical for pairs in comparison.pairs} == {pairs.n for pairs in comparison.pairs} == {90}
    assert {pairs.worse_share for pairs in comparison.pairs} == {0.5}
    for found in comparison.measures:
        if found.verdict is Verdict.NOT_TESTED:
            assert found.reason
            assert found.name in (*PLACES, "expected_best_16")
        else:
            assert (found.verdict, found.difference, found.low, found.high) == (Verdict.SAME, 0.0, 0.0, 0.0)
    assert comparison.verdict is Verdict.SAME


def test_every_measure_of_every_optimizer_is_listed_once() -> None:
    comparison = compare(side(spec()), side(spec()))
    found = [(one.task, one.optimizer, one.name) for one in comparison.measures]
    assert sorted(found) == sorted((TASK, label, name) for label in ("sam", "msam") for name in (*TESTED, *PLACES))


def test_a_shift_of_one_optimizer_is_found_in_it_alone() -> None:
    comparison = compare(side(spec()), side(spec(), shift=-0.05))
    assert comparison.verdict is Verdict.REGRESSED
    assert {one.optimizer for one in comparison.with_verdict(Verdict.REGRESSED)} == {"msam"}
    mean = change(comparison, "grid_mean")
    reference = 0.95  # about: the unit of the measure is (y_ref - floor)
    assert mean.difference == pytest.approx(-0.05 / (reference - 0.1), rel=0.1)
    pairs = next(pairs for pairs in comparison.pairs if pairs.optimizer == "msam")
    assert pairs.mean_difference == pytest.approx(-0.05)
    assert (pairs.worse_share, pairs.n_identical) == (1.0, 0)
    back = compare(side(spec(), shift=-0.05), side(spec()))
    assert {one.optimizer for one in back.with_verdict(Verdict.IMPROVED)} == {"msam"}
    assert not back.with_verdict(Verdict.REGRESSED)


def test_a_smaller_region_at_the_same_best_score_is_a_regression() -> None:
    """What a watcher of one best number misses."""
    comparison = compare(side(spec(n_lr=5)), side(spec(n_lr=5), edge=0.5))
    assert change(comparison, "best").verdict is Verdict.SAME
    assert change(comparison, "diverged_rate").verdict is Verdict.REGRESSED
    assert change(comparison, "grid_mean").verdict is Verdict.REGRESSED
    edge = change(comparison, EDGE)
    assert edge.verdict is Verdict.REGRESSED
    assert edge.difference == pytest.approx(-0.5)  # one step of the axis


def test_the_candidate_is_scored_against_the_reference_of_the_baseline() -> None:
    """Were each scored against its own best, the same shift of all optimizers would cancel."""
    both = side(spec(), shift=-0.05, shifted="sam")
    shifted = Side(both.spec, {**both.records, **side(spec(), shift=-0.05).records})
    records = {key: both.records[key] for key in both.records}
    of_msam = {cell.key for grid in both.spec.grids if grid.optimizer == "msam" for cell in grid.cells(range(10))}
    lowered = Side(both.spec, {key: shifted.records[key] if key in of_msam else records[key] for key in records})
    comparison = compare(side(spec()), lowered)
    assert change(comparison, "good_share", "sam").difference != 0
    assert change(comparison, "grid_mean", "sam").verdict is Verdict.REGRESSED
    assert change(comparison, "grid_mean", "msam").verdict is Verdict.REGRESSED
    given = compare(side(spec()), lowered, y_ref={TASK: 1.5})
    assert abs(change(given, "grid_mean").difference or 0) < abs(change(comparison, "grid_mean").difference or 0)


def test_under_ten_seeds_only_means_over_seeds_get_a_verdict() -> None:
    comparison = compare(side(spec(n_seeds=4)), side(spec(n_seeds=4), shift=-0.1))
    tested = {one.name for one in comparison.measures if one.verdict is not Verdict.NOT_TESTED}
    assert tested == MEANS
    assert change(comparison, "best").reason == "an interval needs 10 seeds, there are 4"
    assert change(comparison, "best").difference == pytest.approx(change(comparison, "grid_mean").difference)
    alone = compare(side(spec(n_seeds=1)), side(spec(n_seeds=1), shift=-0.1))
    assert alone.verdict is Verdict.NOT_TESTED
    assert "at least 2 seeds" in str(change(alone, "grid_mean").reason)
    assert alone.correction == "none: nothing is tested"


def test_only_seeds_that_both_have_count() -> None:
    comparison = compare(side(spec(n_seeds=12)), side(spec(n_seeds=10)))
    assert comparison.n_seeds == 10
    assert comparison.verdict is Verdict.SAME


def test_what_is_not_the_same_on_both_sides_is_not_tested() -> None:
    grown = compare(side(spec(n_lr=3)), side(spec(n_lr=5)))
    assert {one.verdict for one in grown.measures} == {Verdict.NOT_TESTED}
    assert all("the two do not train the same: the candidate has 90 of the 90" in str(m.reason) for m in grown.measures)
    of = spec()
    cell = next(cell for grid in of.grids if grid.optimizer == "msam" for cell in grid.cells(range(3, 4)))
    lacking = Side(of, {key: record for key, record in side(of).records.items() if key != cell.key})
    comparison = compare(side(of), lacking)
    assert change(comparison, "grid_mean").reason == "1 of 90 cells have no result on both sides"
    assert change(comparison, "grid_mean", "sam").verdict is Verdict.SAME
    pairs = next(pairs for pairs in comparison.pairs if pairs.optimizer == "msam")
    assert (pairs.n, pairs.n_identical) == (89, 89)


def test_an_optimizer_that_is_gone_is_said() -> None:
    def made(*names: str) -> Side:
        of = Spec.from_mapping(
            small_spec(optimizers=[one for one in small_spec()["optimizers"] if one["name"] in names])
        )
        return Side(of, records_by_key(of))

    comparison = compare(made("gd", "sam", "msam"), made("gd", "sam"))
    assert {one.reason for one in comparison.measures if one.optimizer == "msam"} == {
        "the candidate does not have this optimizer on this task"
    }


def test_failed_runs_are_missing_and_diverged_ones_are_results() -> None:
    of = Spec.from_mapping(small_spec(seeds={"count": 10}))
    baseline = Side(of, records_by_key(of))

    def outcome(cell: Cell) -> object:
        return (
            failed(cell) if cell.optimizer == "gd" else diverged(cell) if cell.optimizer == "sam" else completed(cell)
        )

    comparison = compare(baseline, Side(of, records_by_key(of, outcome)))  # type: ignore[arg-type]  # each is an Outcome
    assert change(comparison, "grid_mean", "gd").reason == "20 of 20 cells have no result on both sides"
    assert change(comparison, "diverged_rate", "sam").verdict is Verdict.REGRESSED
    assert change(comparison, "diverged_rate", "sam").difference == 1.0
    assert change(comparison, "grid_mean", "msam").verdict is Verdict.SAME


def test_sides_without_a_common_task_or_seed_are_refused() -> None:
    one = side(spec())
    of = Spec.from_mapping(small_spec(seeds={"count": 3, "base": 50}))
    with pytest.raises(ComparisonError, match=r"must share seeds, but the baseline has 0 to 9 and the candidate 50 to"):
        compare(one, Side(of, records_by_key(of)))
    other = Spec.from_mapping(small_spec(tasks=[{"name": "breast-cancer-mlp"}]))
    with pytest.raises(
        ComparisonError, match=r"must share a task, but the baseline has digits-mlp and the candidate b"
    ):
        compare(one, Side(other, {}))


def test_an_undecided_change_says_how_many_seeds_would_decide_it() -> None:
    noisy = side(spec(), np.random.default_rng(5), noise=0.05, shift=-0.02)
    mean = change(compare(side(spec()), noisy), "grid_mean")
    assert mean.verdict is Verdict.UNDECIDED
    assert mean.n_seeds_needed is not None
    assert 10 < mean.n_seeds_needed < 200


def test_a_comparison_survives_json() -> None:
    comparison = compare(side(spec()), side(spec(), shift=-0.05))
    assert Comparison.from_dict(comparison.to_dict()) == comparison
    assert comparison.to_dict()["verdict"] == "regressed"


def test_limits_replace_the_yardsticks_and_the_correction() -> None:
    baseline, shifted = side(spec()), side(spec(), shift=-0.005)
    statistic = worst_change(baseline, shifted)
    assert statistic == pytest.approx(0.5, rel=0.2)  # half of the tolerance of .01
    tight, wide = (limits_of([factor * statistic] * 19) for factor in (0.5, 1.5))
    assert compare(baseline, shifted).verdict is not Verdict.REGRESSED
    found = compare(baseline, shifted, limits=tight)
    assert found.verdict is Verdict.REGRESSED
    assert found.is_calibrated
    assert found.correction == "maximum over all measures, from 19 replays of the baseline"
    assert not compare(baseline, shifted, limits=wide).with_verdict(Verdict.REGRESSED)


@pytest.mark.slow
def test_the_rate_of_false_alarms_is_at_most_the_stated_one_and_a_shift_is_found() -> None:
    """Under no change but rounding a run is an alarm in 5 % of all cases at most, over all measures together."""
    rate, of, noise, n_trials = 0.05, spec(n_seeds=4, n_rho=2, n_lr=2), 0.01, 12
    baseline, rng = side(of), np.random.default_rng(20)
    n_alarms = n_found = 0
    for _ in range(n_trials):
        limits = limits_of([worst_change(baseline, side(of, rng, noise=noise)) for _ in range(19)], rate)
        n_alarms += compare(baseline, side(of, rng, noise=noise), limits=limits).verdict is Verdict.REGRESSED
        changed = side(of, rng, noise=noise, shift=-0.03)
        n_found += compare(baseline, changed, limits=limits).verdict is Verdict.REGRESSED
    assert n_alarms <= n_trials * rate + 3 * math.sqrt(n_trials * rate * (1 - rate))
    assert n_found >= 0.8 * n_trials


@pytest.mark.slow
def test_without_replays_the_corrected_intervals_keep_the_rate() -> None:
    """All measures of ten seeds: those of means, and those of the bootstrap."""
    rate, of, n_trials = 0.05, spec(n_rho=2, n_lr=2), 40
    baseline, rng = side(of), np.random.default_rng(21)
    found = [compare(baseline, side(of, rng, noise=0.01)) for _ in range(n_trials)]
    assert {one.correction for one in found} == {"Bonferroni over 24 comparisons"}
    n_alarms = sum(one.verdict is Verdict.REGRESSED for one in found)
    assert n_alarms <= n_trials * rate + 3 * math.sqrt(n_trials * rate * (1 - rate))
