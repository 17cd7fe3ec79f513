"""Paired differences and the mark of the one that leads."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.errors import TableError
from benchmark.robustness import Measure, paired_difference, robustness_table
from benchmark.robustness.comparison import mark_leaders
from benchmark.robustness.intervals import Sample
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores

pytestmark = pytest.mark.slow


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    scores = noisy_scores(5)
    table = robustness_table(frame_of(scores), ACCURACY)
    first, second = (table.row("digits", name) for name in ("msam", "sam"))
    difference = paired_difference(first, second, "grid_mean")
    by_seed = [scores[name].reshape(-1, 5).mean(axis=0) for name in ("msam", "sam")]
    expected = stats.ttest_rel(*by_seed).confidence_interval(0.95)
    span = (table.tasks[0].y_ref or 0) - ACCURACY.floor
    assert [difference.low, difference.high] == pytest.approx([expected.low / span, expected.high / span])
    assert difference.raw == pytest.approx(np.mean(by_seed[0] - by_seed[1]))
    assert difference.is_clear


def test_a_table_tells_the_differences_of_all_pairs() -> None:
    table = robustness_table(frame_of(noisy_scores(5)), ACCURACY)
    ranked = [row.optimizer for row in table.rows if row.ranked]
    assert len(ranked) == 3
    for measure in ("grid_mean", "iqm", "best", "good_share"):
        told = [one for one in table.differences if one.measure == measure]
        assert [(one.first, one.second) for one in told] == list(itertools.combinations(ranked, 2))
        for one in told:
            found = paired_difference(table.row("digits", one.first), table.row("digits", one.second), measure)
            assert dataclasses.replace(one, p_adjusted=None, n_seeds_needed=None) == found
            assert measure != "grid_mean" or one.value >= 0, "the best comes first"


def test_pairing_narrows_the_interval() -> None:
    for n_seeds in (5, 12):
        table = robustness_table(frame_of(noisy_scores(n_seeds, noise=0.003)), ACCURACY)
        first, second = table.row("digits", "msam"), table.row("digits", "sam")
        difference = paired_difference(first, second, "grid_mean")
        own = first.measures["grid_mean"]
        assert difference.low is not None
        assert difference.high is not None
        assert own.low is not None
        assert own.high is not None
        assert difference.high - difference.low < 0.5 * (own.high - own.low)


def test_it_is_antisymmetric() -> None:
    table = robustness_table(frame_of(noisy_scores(10)), ACCURACY)
    first, second = table.row("digits", "msam"), table.row("digits", "sam")
    for name in ("best", "worst", "grid_mean", "good_share", "rho_width_max"):
        there, back = paired_difference(first, second, name), paired_difference(second, first, name)
        assert there.value == -back.value
        if there.low is not None:
            assert back.high == pytest.approx(-there.low, abs=1e-12)


def test_under_ten_seeds_only_means_over_seeds_have_an_interval() -> None:
    table = robustness_table(frame_of(noisy_scores(5)), ACCURACY)
    difference = paired_difference(table.row("digits", "msam"), table.row("digits", "sam"), "worst")
    assert difference.low is None
    assert difference.reason == "an interval needs 10 seeds, there are 5"
    assert not difference.is_clear


def test_a_clear_leader_is_marked_and_a_tie_is_not() -> None:
    scores = noisy_scores(5)
    leads = {
        row.optimizer
        for row in robustness_table(frame_of(scores), ACCURACY).rows
        if "leads" in row.measures["grid_mean"].flags
    }
    assert leads == {"gd"}
    twins = robustness_table(frame_of({"sam": scores["sam"], "twin": scores["sam"]}), ACCURACY)
    assert not any("leads" in measure.flags for row in twins.rows for measure in row.measures.values())


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_rounding_makes_no_leader(n_seeds: int) -> None:
    scores = {
        "gd": np.full((3, n_seeds), 0.7),
        "sam": np.full((3, 4, n_seeds), 0.7),
        "msam": np.full((3, 4, n_seeds), 0.7),
    }
    scores["msam"][0, 0, 0] += 1e-13
    table = robustness_table(frame_of(scores), ACCURACY)
    assert not any("leads" in measure.flags for row in table.rows for measure in row.measures.values())


def test_the_same_difference_of_two_seeds_proves_nothing() -> None:
    """Scores come in steps: two seeds often give the same difference, and their spread is not known then."""
    scores = {"sam": np.full((3, 4, 2), 0.7), "msam": np.full((3, 4, 2), 0.71)}
    table = robustness_table(frame_of(scores), ACCURACY)
    (one,) = (one for one in table.differences if one.measure == "grid_mean")
    assert (one.low, one.reason) == (None, "no interval where the seeds do not differ")
    assert (one.p_value, one.test) == (0.5, "sign test over seeds")
    assert not one.is_clear
    assert not any("leads" in measure.flags for row in table.rows for measure in row.measures.values())
    assert {(row.rank.low, row.rank.high) for row in table.rows if row.rank is not None} == {(1, 2)}


def test_one_row_alone_leads_nothing() -> None:
    table = robustness_table(frame_of({"sam": noisy_scores(5)["sam"]}), ACCURACY)
    assert not any("leads" in measure.flags for measure in table.rows[0].measures.values())


def test_false_leaders_are_rare() -> None:
    """Optimizers that are the same but for noise: at most 5 % of tables name one of them."""
    rng = np.random.default_rng(0)
    n, found = 1_000, 0
    rows = robustness_table(frame_of(noisy_scores(5)), ACCURACY).rows
    for _ in range(n):
        by_seed = 0.5 + 0.1 * rng.standard_normal((3, 5))
        same = [
            dataclasses.replace(
                row,
                measures={**row.measures, "grid_mean": Measure(float(own.mean()), float(own.mean()))},
                samples={"grid_mean": Sample(own, None, 5)},
            )
            for row, own in zip(rows, by_seed, strict=True)
        ]
        found += any("leads" in row.measures["grid_mean"].flags for row in mark_leaders(same))
    assert found / n < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_what_cannot_be_compared_is_refused() -> None:
    frame = frame_of(noisy_scores(3))
    table = robustness_table(frame, ACCURACY)
    gd, sam = table.row("digits", "gd"), table.row("digits", "sam")
    with pytest.raises(TableError, match="unknown measure 'mean'; known: best, "):
        paired_difference(sam, gd, "mean")
    with pytest.raises(TableError, match="gd has no rho_width_max: rho is not swept"):
        paired_difference(sam, gd, "rho_width_max")
    partial = robustness_table(frame.query("optimizer != 'gd' or lr < 1 or seed > 0"), ACCURACY)
    with pytest.raises(
        TableError, match="a difference is between ranked rows, but gd is not: 1 of 9 cells are missing"
    ):
        paired_difference(partial.row("digits", "sam"), partial.row("digits", "gd"), "best")
    read = type(table).from_dict(table.to_dict())
    assert paired_difference(read.row("digits", "sam"), read.row("digits", "gd"), "best").reason == (
        "the spread over the seeds is not known"
    )
