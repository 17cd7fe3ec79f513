"""Intervals against scipy, and their coverage by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from benchmark.robustness import levels
from benchmark.robustness.intervals import (
    N_RESAMPLES,
    Interval,
    NoInterval,
    Sample,
    band_of,
    expanded_level,
    interval_of,
    percentile_interval,
    resampled_means,
    seed_weights,
    t_interval,
    weights_for,
)


def test_t_interval_is_scipys() -> None:
    values = np.random.default_rng(0).random(7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])


def test_bootstrap_is_scipys_at_the_expanded_level() -> None:
    values = np.random.default_rng(1).random(12)
    found = percentile_interval(float(values.mean()), seed_weights(12, np.random.default_rng(2)) @ values, 12)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", confidence_level=expanded_level(12), n_resamples=100_000, rng=3
    ).confidence_interval
    assert isinstance(found, Interval)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=0.02)


def test_the_expanded_level_makes_up_for_the_small_sample() -> None:
    """An interval of a normal mean read at that level is as wide as the t-interval."""
    n = 10
    quantile = stats.norm.ppf((1 + expanded_level(n)) / 2) * np.sqrt((n - 1) / n)
    assert quantile == pytest.approx(stats.t.ppf(0.975, n - 1))
    assert expanded_level(10_000) == pytest.approx(0.95, abs=1e-4)


def test_weights_are_counts_of_seeds_and_the_same_each_time() -> None:
    weights = seed_weights(10, np.random.default_rng(10))
    assert weights.shape == (N_RESAMPLES, 10)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose((weights * 10) % 1, 0, atol=1e-12)
    np.testing.assert_array_equal(weights, seed_weights(10, np.random.default_rng(10)))


@pytest.mark.parametrize("n_configurations", [1, 7, 3_000])
def test_resampled_means_are_the_product(n_configurations: int) -> None:
    rng = np.random.default_rng(0)
    weights, scores = rng.random((200, 10)), rng.random((n_configurations, 10))
    np.testing.assert_allclose(resampled_means(weights, scores), weights @ scores.T, rtol=1e-12)


@pytest.mark.parametrize(
    ("n_seeds", "by_seed", "reason"),
    [
        (1, np.ones(1), "an interval needs at least 2 seeds, there is 1"),
        (9, None, "an interval needs 10 seeds, there are 9"),
        (10, None, "no interval is defined for it"),
    ],
)
def test_no_interval_where_none_is_honest(n_seeds: int, by_seed: np.ndarray | None, reason: str) -> None:
    assert interval_of(1.0, Sample(by_seed, None, n_seeds)) == NoInterval(reason)


def test_no_interval_from_resamples_on_one_side_of_the_value() -> None:
    found = percentile_interval(1.0, np.linspace(0.1, 0.5, 100), 10)
    assert found == NoInterval("no interval: the resamples of the seeds lie on one side of the value")


def test_no_interval_where_a_resample_has_no_value() -> None:
    found = percentile_interval(1.0, np.array([1.0, np.nan, 2.0]), 10)
    assert found == NoInterval("no interval: it is not defined on every resample of the seeds")


def test_the_reverse_interval_is_the_mirrored_one() -> None:
    resampled = np.random.default_rng(0).gamma(2.0, size=2_000)
    plain, reverse = (percentile_interval(2.0, resampled, 10, reverse=way) for way in (False, True))
    assert isinstance(plain, Interval)
    assert isinstance(reverse, Interval)
    assert [reverse.low, reverse.high] == pytest.approx([4 - plain.high, 4 - plain.low])
    assert "reverse" in reverse.method


@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7])
def test_where_the_seeds_do_not_differ_there_is_no_interval(n_seeds: int, value: float) -> None:
    """[0 %, 0 %] of runs diverged, or [100 %, 100 %] of wins, is more than a few seeds that agree can know."""
    values = np.full(n_seeds, value)
    resampled = seed_weights(n_seeds, np.random.default_rng(0)) @ values
    flat = NoInterval("no interval where the seeds do not differ")
    assert interval_of(value, Sample(values, resampled, n_seeds)) == flat
    assert n_seeds < 10 or interval_of(value, Sample(None, resampled, n_seeds)) == flat
    band = band_of(np.stack([values, values + np.arange(n_seeds)], axis=1), weights_for(n_seeds))
    assert band is not None
    assert np.isnan([band.low, band.high]).tolist() == [[True, False], [True, False]]


def test_a_measure_in_steps_may_have_an_interval_without_width() -> None:
    """That no resample of seed means takes a configuration over the tolerance does say something."""
    found = interval_of(0.25, Sample(None, np.full(N_RESAMPLES, 0.25), 10, has_steps=True))
    assert isinstance(found, Interval)
    assert [found.low, found.high] == [0.25, 0.25]


def covered(truth: float, draw: Callable[[np.random.Generator], Interval | NoInterval], n: int) -> float:
    rng = np.random.default_rng(12345)
    intervals = [found for _ in range(n) if isinstance(found := draw(rng), Interval)]
    assert len(intervals) > 0.98 * n
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 9])
def test_coverage_of_the_t_interval(n_seeds: int) -> None:
    n = 4_000
    share = covered(1.0, lambda rng: t_interval(rng.normal(1.0, 0.3, n_seeds)), n)
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [10, 20])
def test_coverage_of_the_bootstrap_of_a_mean(n_seeds: int) -> None:
    n = 1_500

    def draw(rng: np.random.Generator) -> Interval | NoInterval:
        values = rng.normal(1.0, 0.3, n_seeds)
        return percentile_interval(float(values.mean()), seed_weights(n_seeds, rng) @ values, n_seeds)

    assert abs(covered(1.0, draw, n) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)


@pytest.mark.slow
def test_coverage_of_an_order_statistic_is_mended_by_the_reverse_interval() -> None:
    means = np.repeat(0.97 - 0.12 * (np.linspace(-3, 0, 8) + 0.8) ** 2, 8)
    truth = float(levels.tenth_percentile(means))

    def draw(rng: np.random.Generator, *, reverse: bool) -> Interval | NoInterval:
        scores = means[:, None] + rng.normal(0, 0.01, 10) + rng.normal(0, 0.02, (64, 10))
        resampled = levels.tenth_percentile(resampled_means(seed_weights(10, rng), scores))
        value = float(levels.tenth_percentile(scores.mean(axis=1)))
        return percentile_interval(value, resampled, 10, reverse=reverse)

    plain, reverse = (covered(truth, lambda rng, way=way: draw(rng, reverse=way), 400) for way in (False, True))  # type: ignore[misc]
    assert plain < 0.85
    assert reverse > 0.9
