"""Comparisons of two jobs: what changed, what did not, what cannot be said."""

import numpy as np
import pytest

from benchmark import ComparisonError, Spec
from benchmark.regression import Change, Comparison, Side, Verdict, compare, limits_of, worst_change
from benchmark.regression.costs import COSTS
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
            assert found.name in (*PLACES, *COSTS, "expected_best_16")
        else:
            assert (found.verdict, found.difference, found.low, found.high) == (Verdict.SAME, 0.0, 0.0, 0.0)
    assert comparison.verdict is Verdict.SAME


def test_every_measure_of_every_optimizer_is_listed_once() -> None:
    comparison = compare(side(spec()), side(spec()))
    found = [(one.task, one.optimizer, one.name) for one in comparison.measures]
    assert sorted(found) == sorted(
        (TASK, label, name) for label in ("sam", "msam") for name in (*TESTED, *PLACES, *COSTS)
    )


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
    comparison = compare(side(spec(n_seeds=4)), side(spec(n_seeds=4), noise=1e-4, shift=-0.1))
    tested = {one.name for one in comparison.measures if one.verdict is not Verdict.NOT_TESTED}
    assert tested == MEANS
    assert change(comparison, "best").reason == "an interval needs 10 seeds, there are 4"
    assert change(comparison, "best").difference == pytest.approx(change(comparison, "grid_mean").difference, rel=0.01)
    alone = compare(side(spec(n_seeds=1)), side(spec(n_seeds=1), shift=-0.1))
    assert alone.verdict is Verdict.NOT_TESTED
    assert "at least 2 seeds" in str(change(alone, "grid_mean").reason)
    assert alone.correction == "none: nothing is tested"


@pytest.mark.parametrize(("n_seeds", "verdict"), [(5, Verdict.NOT_TESTED), (6, Verdict.REGRESSED)])
def test_seeds_that_differ_by_the_same_are_sure_of_it_from_six_on(n_seeds: int, verdict: Verdict) -> None:
    """An interval without width would be as certain with two of them."""
    before, after = side(spec(n_seeds, n_lr=5)), side(spec(n_seeds, n_lr=5), edge=0.5)
    edge = change(compare(before, after), EDGE)
    assert edge.verdict is verdict
    assert edge.difference == pytest.approx(-0.5)
    assert (edge.reason == "5 seeds that differ by the same are too few to tell: it needs 6") == (n_seeds == 5)
    assert change(compare(before, before), EDGE).verdict is Verdict.SAME


def test_only_seeds_that_both_have_count() -> None:
    comparison = compare(side(spec(n_seeds=12)), side(spec(n_seeds=10)))
    assert comparison.n_seeds == 10
    assert comparison.verdict is Verdict.SAME


def test_what_is_not_the_same_on_both_sides_is_not_tested() -> None:
    grown = compare(side(spec(n_lr=3)), side(spec(n_lr=5)))
    assert {one.verdict for one in grown.measures} == {Verdict.NOT_TESTED}
    paired = [m for m in grown.measures if m.name not in COSTS]
    assert all("the two do not train the same: the candidate has 90 of the 90" in str(m.reason) for m in paired)
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
    assert {one.reason for one in comparison.measures if one.optimizer == "msam" and one.name not in COSTS} == {
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


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_a_baseline_that_learned_nothing_is_refused(n_seeds: int) -> None:
    """The mean of three floors is above a floor of .1, by rounding."""
    of = spec(n_seeds)
    with pytest.raises(ComparisonError, match=r"its best score on digits-mlp is 0\.1, and its floor 0\.1"):
        compare(Side(of, records_by_key(of, diverged)), side(of))


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
    baseline, shifted = side(spec()), side(spec(), shift=-0.03)
    statistic = worst_change(baseline, shifted)
    assert statistic == pytest.approx(3.0, rel=0.2)  # tolerances of .01
    tight, wide = (limits_of([factor * statistic] * 19) for factor in (0.5, 1.0))
    found = compare(baseline, shifted, limits=tight)
    assert found.verdict is Verdict.REGRESSED
    assert found.is_calibrated
    assert found.correction == "maximum over all measures, from 19 replays of the baseline"
    assert not compare(baseline, shifted, limits=wide).with_verdict(Verdict.REGRESSED)
    within = side(spec(), shift=-0.005)
    steady = limits_of([worst_change(baseline, within)] * 19)
    assert change(compare(baseline, within, limits=steady), "grid_mean").verdict is Verdict.SAME  # it does not matter


def test_a_margin_that_is_asked_for_goes_before_limits() -> None:
    baseline, shifted = side(spec()), side(spec(), shift=-0.005)
    wide = limits_of([5.0] * 19)
    assert not compare(baseline, shifted, limits=wide).with_verdict(Verdict.REGRESSED)
    found = compare(baseline, shifted, limits=wide, factor=0.1)
    assert found.verdict is Verdict.REGRESSED
    assert not found.is_calibrated
    assert found.correction.startswith("Bonferroni over")
    plain = change(compare(baseline, shifted), "grid_mean")
    assert change(found, "grid_mean").margin == pytest.approx(0.1 * (plain.margin or 0))


def test_only_what_is_asked_for_is_tested_and_counted() -> None:
    baseline, shifted = side(spec()), side(spec(), shift=-0.05)
    found = compare(baseline, shifted, only=("diverged_rate", "collapsed_rate"))
    assert found.verdict is Verdict.SAME
    assert found.correction == "Bonferroni over 4 comparisons"
    left_out = change(found, "grid_mean")
    assert (left_out.verdict, left_out.reason) == (
        Verdict.NOT_TESTED,
        "it is not among the measures that are asked for",
    )
    assert left_out.difference == change(compare(baseline, shifted), "grid_mean").difference
    assert len(found.measures) == len(compare(baseline, shifted).measures)


def test_what_else_a_side_has_does_not_move_what_both_have() -> None:
    """Rows of the base optimizer are repeated along the grid that all have in common, which another grid would move."""
    document = small_spec(seeds={"count": 10}, space={"lr": {"values": [0.01, 0.1, 1.0]}})
    first, *others = document["optimizers"]
    whole = Spec.from_mapping(document)
    alone = Spec.from_mapping(document | {"optimizers": [first]})
    larger = [{**one, "space": {"rho": {"values": [0.1, 0.3, 1.0]}}} for one in others]
    grown = Spec.from_mapping(document | {"optimizers": [first, *larger]})
    baseline = Side(whole, records_by_key(whole))
    for other in (alone, grown):
        comparison = compare(baseline, Side(other, records_by_key(other)))
        judged = [one for one in comparison.measures if one.optimizer == "gd" and one.margin is not None]
        assert {one.name for one in judged} >= {"grid_mean", "p10", "iqm"}
        assert {(one.verdict, one.difference) for one in judged} == {(Verdict.SAME, 0.0)}
