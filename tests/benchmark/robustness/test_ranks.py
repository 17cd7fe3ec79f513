"""Ranks with their sets, Holm's correction, p-values, and how many seeds would do."""

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.robustness import RobustnessTable, paired_difference, robustness_table
from benchmark.robustness.intervals import Interval, Sample, interval_of, seed_weights
from benchmark.robustness.power import power_of, seeds_needed
from benchmark.robustness.ranks import holm, ranks
from benchmark.robustness.significance import p_not_above, two_sided_p
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores

BINOMIAL = 3.0  # standard errors of a simulated share


def test_holm_multiplies_step_by_step() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # statsmodels: multipletests([0.01, 0.04, 0.03, 0.005, 0.2, 0.5], method="holm")
    corrected = holm(np.array([0.01, 0.04, 0.03, 0.005, 0.2, 0.5]))
    assert corrected.tolist() == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.4, 0.5])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_an_unknown_p_value_counts_in_the_family_and_stays_unknown() -> None:
    corrected = holm(np.array([np.nan, 0.02]))
    assert np.isnan(corrected[0])
    assert corrected[1] == pytest.approx(0.04)


def test_seeds_needed_are_those_of_a_textbook() -> None:
    # R: power.t.test(delta = 1, sd = 1, power = 0.8, type = "paired") gives n = 9.94; with delta = 0.5, n = 33.37
    unit = np.array([-1.0, 1.0]) / np.std([-1.0, 1.0], ddof=1)
    assert seeds_needed(unit, 1.0) == 10
    assert seeds_needed(unit, -0.5) == 34
    assert seeds_needed(unit, 0.001) is None
    assert seeds_needed(unit, 0.0) is None
    assert seeds_needed(np.array([0.1, 0.1, 0.1]), 0.01) == 2


def test_the_power_is_that_of_statsmodels() -> None:
    """TTestPower().power(effect_size, nobs, alpha) of statsmodels 0.15."""
    assert power_of(8, 0.8) == pytest.approx(0.4963820462)
    assert power_of(20, 0.5, 1 - 0.05 / 3) == pytest.approx(0.3725053025)


def test_the_power_is_that_of_the_test_simulated() -> None:
    rng, n_tables = np.random.default_rng(0), 4_000
    differences = 0.8 + rng.standard_normal((n_tables, 8))
    found = float(np.mean(stats.ttest_1samp(differences, 0.0, axis=1).pvalue < 0.05))
    expected = power_of(8, 0.8)
    assert abs(found - expected) < BINOMIAL * np.sqrt(expected * (1 - expected) / n_tables)


def test_the_p_value_is_that_of_the_paired_t_test() -> None:
    scores = noisy_scores(5, noise=0.1)
    table = robustness_table(frame_of(scores), ACCURACY)
    difference = paired_difference(table.row("digits", "msam"), table.row("digits", "gd"), "grid_mean")
    by_seed = [scores["msam"].mean(axis=(0, 1)), scores["gd"].mean(axis=0)]
    assert difference.p_value == pytest.approx(stats.ttest_rel(*by_seed).pvalue)
    assert difference.test == "paired t-test over seeds"


@pytest.mark.parametrize("is_order_statistic", [False, True])
def test_p_value_and_interval_of_resamples_agree(is_order_statistic: bool) -> None:
    rng, clear = np.random.default_rng(1), 0
    for _ in range(200):
        own = rng.normal(rng.uniform(-1, 1), 1, 12)
        sample = Sample(None, seed_weights(12, rng) @ own, 12, is_order_statistic)
        interval, p = interval_of(own.mean(), sample), two_sided_p(own.mean(), sample)
        assert isinstance(interval, Interval)
        excludes_zero = not interval.low <= 0 <= interval.high
        assert p is not None
        if abs(p - 0.05) > 0.004:  # a quantile lies between two resamples, a count on one
            assert (p < 0.05) == excludes_zero
        clear += excludes_zero
    assert 20 < clear < 180


def test_what_the_seeds_do_not_allow_has_no_p_value() -> None:
    assert p_not_above(1.0, Sample(np.array([1.0]), None, 1)) is None
    assert p_not_above(1.0, Sample(None, None, 5)) is None
    assert two_sided_p(0.0, Sample(np.zeros(5), None, 5)) == 1.0
    assert two_sided_p(0.5, Sample(np.full(5, 0.5), None, 5)) == pytest.approx(2 * 2**-5)
    assert p_not_above(-0.5, Sample(np.full(5, -0.5), None, 5)) == pytest.approx(1 - 2**-5)
    assert two_sided_p(0.5, Sample(None, np.array([0.1, np.nan]), 12)) is None


def test_ranks_leave_open_what_is_not_clear() -> None:
    clear, unclear = 1e-6, 0.4
    p_below = np.array(
        [
            [np.nan, unclear, clear],
            [1 - unclear, np.nan, clear],
            [1 - clear, 1 - clear, np.nan],
        ]
    )
    found = ranks([0.9, 0.8, 0.1], p_below)
    assert [(rank.value, rank.low, rank.high) for rank in found] == [(1, 1, 2), (2, 1, 2), (3, 3, 3)]


def test_equal_values_share_a_rank_and_unknown_p_values_leave_all_open() -> None:
    found = ranks([0.5, 0.7, 0.7], np.full((3, 3), np.nan))
    assert [(rank.value, rank.low, rank.high) for rank in found] == [(3, 1, 3), (1, 1, 3), (1, 1, 3)]


def test_ranked_rows_have_ranks_and_others_none() -> None:
    frame = frame_of(noisy_scores(5))
    assert _sets(robustness_table(frame, ACCURACY)) == {"gd": (1, 1, 1), "msam": (2, 2, 2), "sam": (3, 3, 3)}
    partial = robustness_table(frame.query("optimizer != 'gd' or lr < 1 or seed > 0"), ACCURACY)
    assert _sets(partial) == {"gd": None, "msam": (1, 1, 1), "sam": (2, 2, 2)}
    one_seed = robustness_table(frame.query("seed == 0"), ACCURACY)
    assert {sets[1:] for sets in _sets(one_seed).values() if sets} == {(1, 3)}


@pytest.mark.slow
def test_the_sets_hold_all_true_ranks_as_often_as_they_say() -> None:
    """Four optimizers, two of them equal, with a seed's effect on all: the shares of tables in which a set is wrong."""
    rng, n_tables, n_wrong = np.random.default_rng(2), 2_000, 0
    for _ in range(n_tables):
        by_seed = np.array([[0.5], [0.5], [0.52], [0.6]]) + 0.1 * rng.standard_normal(5)
        by_seed += 0.015 * rng.standard_normal((4, 5))
        p_below = np.full((4, 4), np.nan)
        for first, second in itertools.permutations(range(4), 2):
            own = by_seed[first] - by_seed[second]
            p = p_not_above(float(own.mean()), Sample(own, None, 5))
            assert p is not None
            p_below[first, second] = p
        sets_of = ranks(by_seed.mean(axis=1).tolist(), p_below)
        found = {name: (own.value, own.low, own.high) for name, own in zip("abcd", sets_of, strict=True)}
        true = {"d": (1, 1), "c": (2, 2), "a": (3, 4), "b": (3, 4)}  # equal ones: either place would be right
        wrong = [
            sets[1] > true[name][1] or sets[2] < true[name][0] or _splits_twins(name, sets)
            for name, sets in found.items()
        ]
        n_wrong += any(wrong)
    assert n_wrong / n_tables < 0.05 + BINOMIAL * np.sqrt(0.05 * 0.95 / n_tables)


def _splits_twins(name: str, sets: tuple[int, int, int]) -> bool:
    """Whether a set says that one of the two equal optimizers is clearly better than the other."""
    return name in "ab" and (sets[1] == 4 or sets[2] == 3)


def test_all_pairs_are_compared_in_a_family_that_is_named() -> None:
    table = robustness_table(frame_of(noisy_scores(5, noise=0.1)), ACCURACY)
    own = [one for one in table.differences if one.measure == "grid_mean"]
    order = [row.optimizer for row in table.rows]
    assert [(one.first, one.second) for one in own] == list(itertools.combinations(order, 2))
    p_values = np.array([one.p_value for one in own], dtype=np.float64)
    assert [one.p_adjusted for one in own] == pytest.approx(holm(p_values).tolist())
    assert (holm(p_values) > p_values).any()


def test_seeds_needed_are_told_for_means_over_seeds() -> None:
    scores = noisy_scores(4, noise=0.1)
    table = robustness_table(frame_of(scores), ACCURACY)
    by_name = {one.measure: one for one in table.differences if (one.first, one.second) == ("msam", "sam")}
    by_seed = (scores["msam"] - scores["sam"]).mean(axis=(0, 1)) / ((table.tasks[0].y_ref or 0.0) - ACCURACY.floor)
    tolerance = ACCURACY.tolerance / ((table.tasks[0].y_ref or 0.0) - ACCURACY.floor)  # as the scores are normalised
    assert by_name["grid_mean"].n_seeds_needed == seeds_needed(by_seed, tolerance, 1 - 0.05 / 3)
    assert by_name["best"].n_seeds_needed is None


def _sets(table: RobustnessTable) -> dict[str, tuple[int, int, int] | None]:
    return {
        row.optimizer: None if row.rank is None else (row.rank.value, row.rank.low, row.rank.high) for row in table.rows
    }
