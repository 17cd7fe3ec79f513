"""Each measure against brute force, a library, or numbers worked by hand."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from benchmark.errors import TableError
from benchmark.robustness import infer_grids, levels, measures, robustness_table, sensitivity
from benchmark.robustness.failures import failure_rates
from benchmark.robustness.tuning import expected_best, share_within
from benchmark.robustness.width import censoring, decades, widths
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores

SCORES = npst.arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 5).map(float))


def brute_expected_best(validation: np.ndarray, test: np.ndarray, k: int) -> float:
    """Mean over all subsets of k; among those that tie for the best of a subset, the mean."""
    values = []
    for subset in map(list, itertools.combinations(range(len(test)), k)):
        tied = [index for index in subset if validation[index] == validation[subset].max()]
        values.append(test[tied].mean())
    return float(np.mean(values))


@given(SCORES, st.data())
def test_expected_best_is_the_mean_over_all_subsets(validation: np.ndarray, data: st.DataObject) -> None:
    test = data.draw(npst.arrays(np.float64, validation.shape, elements=st.floats(-1, 1)))
    k = data.draw(st.integers(1, len(validation)))
    found = expected_best(validation[:, None], test[:, None], [k])[0, 0]
    assert found == pytest.approx(brute_expected_best(validation, test, k), abs=1e-12)


def test_expected_best_goes_from_the_mean_to_the_maximum() -> None:
    scores = np.random.default_rng(0).random((20, 3))
    found = expected_best(scores, scores, range(1, 21))
    np.testing.assert_allclose(found[0], scores.mean(axis=0))
    np.testing.assert_allclose(found[-1], scores.max(axis=0))
    assert (np.diff(found, axis=0) > 0).all()


def test_drawing_with_replacement_would_be_biased_low() -> None:
    scores = np.arange(10.0)[:, None]
    with_replacement = sum(scores[i, 0] * (((i + 1) / 10) ** 4 - (i / 10) ** 4) for i in range(10))
    assert expected_best(scores, scores, [4])[0, 0] > with_replacement


def test_share_within_does_not_lose_digits_on_large_grids() -> None:
    n, k = 300_000, 16
    exact = [math.comb(i, k) / math.comb(n, k) for i in (k, n // 2, n - 1)]
    np.testing.assert_allclose(share_within(n, k)[[k, n // 2, n - 1]], exact, rtol=1e-12)


@pytest.mark.parametrize("k", [0, 5])
def test_trials_out_of_range_are_refused(k: int) -> None:
    with pytest.raises(TableError, match=rf"1 <= k <= n must hold, but got k={k}, n=4"):
        expected_best(np.ones((4, 1)), np.ones((4, 1)), [k])


def test_best_is_picked_by_validation_and_reported_on_test() -> None:
    validation, test = np.array([0.5, 0.9, 0.7]), np.array([0.99, 0.6, 0.8])
    assert levels.best(validation, test) == 0.6
    assert levels.best_configuration(np.array([0.9, 0.9])) == 0


@given(st.integers(1, 30), st.integers(1, 6))
def test_tenth_percentile_is_numpys_on_repeated_configurations(n: int, repeats: int) -> None:
    means = np.random.default_rng(n).random((2, n))
    expected = np.quantile(np.repeat(means, repeats, axis=-1), 0.1, axis=-1)
    np.testing.assert_allclose(levels.tenth_percentile(means, repeats), expected, atol=1e-15)


def test_a_score_exactly_at_the_tolerance_is_good() -> None:
    assert levels.is_good(np.array([0.3 - 0.1, 0.2 - 1e-6, 0.3]), 0.3, 0.1).tolist() == [True, False, True]


def test_failure_rates_count_runs_with_a_result_only() -> None:
    failed = np.array([[True, False], [True, False], [False, False]])
    is_result = np.array([[True, True], [False, True], [True, False]])
    rate, by_seed = failure_rates(failed, is_result)
    assert rate == 1 / 4
    assert by_seed.tolist() == [1 / 2, 0]


def test_each_rho_owns_half_way_to_its_neighbours() -> None:
    np.testing.assert_allclose(decades(np.array([0.01, 0.1, 10.0])), [0.5, 1.5, 1.0])


def test_widths_by_hand() -> None:
    rho = np.array([0.01, 0.1, 1.0, 10.0])
    good = np.array([[False, True, True, False], [False] * 4, [True, False, False, True], [True] * 4])
    np.testing.assert_allclose(widths(good, rho), [2.0, 0.0, 1.0, 3.0])


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=9, unique=True))
def test_a_width_is_never_more_than_the_span_of_the_grid(rho: list[float]) -> None:
    ascending = np.array(sorted(rho))
    span = np.log10(ascending[-1] / ascending[0])
    assert widths(np.ones(len(rho), dtype=bool), ascending) == pytest.approx(span, abs=1e-9)


@pytest.mark.parametrize(
    ("good", "flags"),
    [
        ([[False, True, False]], ()),
        ([[True, False, False]], ("censored_low",)),
        ([[True, True, True]], ("censored_low", "censored_high")),
        ([[False, True, False], [False, False, True]], ("censored_high",)),
    ],
)
def test_censoring(good: list[list[bool]], flags: tuple[str, ...]) -> None:
    assert censoring(np.array(good)).flags == flags


@given(
    npst.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-50, 50).map(float))
)
def test_variance_shares_are_those_of_the_decomposition(means: np.ndarray) -> None:
    grand = means.mean()
    rho_effect = means.mean(axis=1, keepdims=True) - grand
    lr_effect = means.mean(axis=0, keepdims=True) - grand
    rest = means - grand - rho_effect - lr_effect
    parts = [np.broadcast_to(effect, means.shape) ** 2 for effect in (rho_effect, lr_effect, rest)]
    sums = np.array([part.sum() for part in parts])
    found = np.array(sensitivity.variance_shares(means))
    if np.ptp(means) == 0:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, sums / sums.sum(), atol=1e-9)
        assert found.sum() == pytest.approx(1)


def test_variance_of_an_additive_surface_by_hand() -> None:
    rho, lr, both = sensitivity.variance_shares(np.add.outer([0.0, 1.0, 2.0], [0.0, 3.0]))
    assert [float(rho), float(lr)] == pytest.approx([4 / 17.5, 13.5 / 17.5])
    assert both == pytest.approx(0, abs=1e-12)


def test_shares_of_one_factor_are_those_of_scipys_one_way_analysis() -> None:
    """F = (between / (g - 1)) / (within / (n - g)), from which the share between follows."""
    means = np.random.default_rng(0).random((4, 6))
    rho, lr, _ = sensitivity.variance_shares(means)
    for share, groups in ((rho, means), (lr, means.T)):
        n_groups, n = len(groups), means.size
        ratio = stats.f_oneway(*groups).statistic * (n_groups - 1) / (n - n_groups)
        assert float(share) == pytest.approx(ratio / (1 + ratio))


def test_shares_do_not_depend_on_the_unit_and_turn_with_the_axes() -> None:
    means = np.random.default_rng(0).random((4, 6))
    rho, lr, both = sensitivity.variance_shares(means)
    assert sensitivity.variance_shares(7 - 3 * means) == pytest.approx((rho, lr, both))
    assert sensitivity.variance_shares(means.T) == pytest.approx((lr, rho, both))


def test_the_shares_of_a_table_do_not_depend_on_which_axis_turns_slowest() -> None:
    frame = frame_of(noisy_scores(2))
    grids = infer_grids(frame, ACCURACY)
    turned = [replace(grid, axes=grid.axes[::-1]) for grid in grids]
    tables = [robustness_table(frame, ACCURACY, some) for some in (grids, turned)]
    for name in ("variance_rho", "variance_lr", "variance_interaction", "rho_width_max", "rho_width_mean"):
        one, other = (table.row("digits", "sam").measures[name] for table in tables)
        assert one.value == pytest.approx(other.value)
        assert one.flags == other.flags


def test_a_finer_grid_of_the_same_good_region_is_as_wide_and_a_longer_one_not_narrower() -> None:
    rho = np.array([0.01, 0.1, 1.0, 10.0])
    good = np.array([False, True, True, True])
    finer, longer = np.insert(rho, 2, 0.3), np.append(rho, 100.0)
    width = widths(good, rho)
    assert widths(np.insert(good, 2, True), finer) == pytest.approx(width)
    assert widths(np.append(good, True), longer) == pytest.approx(width + 1)
    assert widths(np.append(good, False), longer) == pytest.approx(width + 0.5), "the end now owns what follows it"


def test_the_largest_width_is_censored_by_its_own_line_and_the_mean_by_any() -> None:
    """At the first lr two decades in the middle are good, at the second only the last rho."""
    scores = np.array([[0.1, 0.9, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9], [0.1, 0.1, 0.1, 0.1]])[..., np.newaxis]
    measures = robustness_table(frame_of({"sam": scores}), ACCURACY).row("digits", "sam").measures
    assert measures["rho_width_max"].value == pytest.approx(2)
    assert measures["rho_width_max"].flags == ()
    assert measures["rho_width_mean"].value == pytest.approx((2 + 0.5 + 0) / 3)
    assert measures["rho_width_mean"].flags == ("censored_high",)


def test_phi_by_hand() -> None:
    z = np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 1.0], [0.5, 0.7, 0.9]])
    assert sensitivity.phi(z, z) == pytest.approx((1 + 1 + 0.9) / 3 - (0.6 + 0.8 + 0.7) / 3)
    assert sensitivity.phi(np.ones((3, 1)), np.ones((3, 1))) == 0


def test_phi_needs_three_tasks() -> None:
    with pytest.raises(TableError, match="Phi needs at least 3 tasks, but got 2"):
        sensitivity.phi(np.ones((2, 4)), np.ones((2, 4)))


def test_every_measure_is_described() -> None:
    names = [measure.name for measure in measures()]
    assert len(set(names)) == len(names)
    assert names[-1] == "phi"
    for measure in measures():
        assert measure.title, measure.name
        assert measure.definition.endswith("."), measure.name
        assert measure.to_dict()["direction"] in ("higher", "lower", None)
