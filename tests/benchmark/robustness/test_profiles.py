"""Performance profiles, against counting."""

import numpy as np
import pytest

from benchmark.errors import TableError
from benchmark.robustness.intervals import band_of, percentile_interval, t_interval, weights_for
from benchmark.robustness.profiles import performance_profiles
from tests.benchmark.robustness.runs import ACCURACY, TABLE_3, TABLE_3_SCORING, frame_of, noisy_scores, table_3


def test_a_profile_counts_the_runs_that_reach_a_score() -> None:
    scores = noisy_scores(12, noise=0.1)
    best = max(own.mean(axis=-1).max() for own in scores.values())
    for profile in performance_profiles(frame_of(scores), ACCURACY):
        z = (scores[profile.optimizer].ravel() - 0.1) / (best - 0.1)
        counted = [np.mean(z >= level) for level in profile.levels]
        assert profile.share == pytest.approx(counted)
        assert (np.diff(profile.share) <= 0).all()
        assert profile.band is not None
        known = np.isfinite(profile.band.low)
        assert known.any()
        assert not known[profile.share == 1.0].any(), "no seed differs where every run is"
        assert (profile.band.low[known] <= profile.share[known]).all()
        assert (profile.band.high[known] >= profile.share[known]).all()
        assert profile.band.low[known].min() >= 0
        assert profile.band.high[known].max() <= 1


def test_a_few_seeds_give_a_profile_no_band() -> None:
    assert all(profile.band is None for profile in performance_profiles(frame_of(noisy_scores(9)), ACCURACY))


def test_the_known_table_s_profiles() -> None:
    """A third of the way from the floor to the best: 10 of 12 cells of M-SAM are there, one of SAM."""
    sam, msam = performance_profiles(table_3(), TABLE_3_SCORING)
    third = np.searchsorted(sam.levels, 1 / 3)
    assert sam.share[third] == pytest.approx(1 / 12)
    assert msam.share[third] == pytest.approx(10 / 12)
    assert sam.band is None
    assert (msam.share >= sam.share).all(), "one is above the other everywhere"
    assert TABLE_3["sam"][1e-5][0] == 0.405


def test_diverged_runs_count_as_nothing_learned() -> None:
    scores = {"sam": np.full((1, 2, 3), 0.8)}
    scores["sam"][0, 0, :] = np.nan
    (profile,) = performance_profiles(frame_of(scores, lrs=(0.1,), rhos=(0.1, 1.0)), ACCURACY)
    assert profile.share[0] == 1.0
    assert set(profile.share[1:-1]) == {0.5}
    assert profile.levels[-1] >= 1.0, "where rounding may put the best run on either side of the last level"


def test_without_a_reference_there_is_none() -> None:
    scores = {"sam": np.full((1, 2, 3), np.nan)}
    with pytest.raises(
        TableError, match=r"a profile needs a reference, but digits has none: .* nothing has been learned"
    ):
        performance_profiles(frame_of(scores, lrs=(0.1,), rhos=(0.1, 1.0)), ACCURACY)


@pytest.mark.parametrize("n_seeds", [3, 12])
def test_a_band_is_the_interval_at_every_point(n_seeds: int) -> None:
    by_seed = np.random.default_rng(0).standard_normal((n_seeds, 5))
    weights = weights_for(n_seeds)
    band = band_of(by_seed, weights)
    assert band is not None
    for point in range(5):
        own = by_seed[:, point]
        expected = (
            t_interval(own) if weights is None else percentile_interval(float(own.mean()), weights @ own, n_seeds)
        )
        assert (band.low[point], band.high[point]) == pytest.approx((expected.low, expected.high))  # type: ignore[union-attr]  # fails where there is no interval
    assert band_of(by_seed[:1], None) is None
