"""Limits from replays: the numbers that a rate needs, the order statistic that sets them, the rate that they keep."""

import math

import numpy as np
import pytest

from benchmark import ComparisonError
from benchmark.regression import limits_of, replays_needed


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 19), (0.01, 99), (0.5, 1), (0.1, 9), (0.06, 16), (0.001, 999)])
def test_a_rate_needs_so_many_replays(rate: float, needed: int) -> None:
    assert replays_needed(rate) == needed
    assert limits_of([1.0] * needed, rate).kept_rate <= rate + 1e-12
    if needed > 1:
        with pytest.raises(ComparisonError, match=rf"needs at least {needed} replays, but there are {needed - 1}; "):
            limits_of([1.0] * (needed - 1), rate)


@pytest.mark.parametrize("rate", [0.0, 5e-324, 1.0, -0.1, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ComparisonError, match=r"1e-06 <= alarm rate < 1 must hold, but got"):
        limits_of([1.0] * 100, rate)


def test_a_replay_without_a_number_is_refused() -> None:
    with pytest.raises(ComparisonError, match=r"every replay must have a finite statistic"):
        limits_of([1.0] * 18 + [math.nan])


def test_the_limit_is_the_largest_of_nineteen_and_the_second_of_thirty_nine() -> None:
    rng = np.random.default_rng(1)
    nineteen, thirty_nine = rng.permutation(np.arange(1.0, 20.0)), rng.permutation(np.arange(1.0, 40.0))
    assert limits_of(nineteen.tolist()).factor == 19.0
    limits = limits_of(thirty_nine.tolist())
    assert (limits.factor, limits.rank, limits.kept_rate) == (38.0, 2, 0.05)
    assert limits.alarms_expected(365) == pytest.approx(18.25)


def test_replays_that_hardly_move_leave_what_does_not_matter() -> None:
    assert limits_of([-1.0] * 19).factor == 1.0


def test_one_calibration_of_twenty_keeps_less_than_the_rate_of_all() -> None:
    """Of one set of replays the rate is random: its 95 % quantile, for one limit of n the root of 5 %."""
    assert limits_of([0.0] * 19).rate_at_worst == pytest.approx(1 - 0.05 ** (1 / 19))
    draws = np.random.default_rng(3).random((20_000, 39))
    kept = 1 - np.sort(draws, axis=1)[:, -2]  # of a uniform statistic: the chance to exceed the limit
    limits = limits_of([0.0] * 39)
    assert float(np.quantile(kept, 0.95)) == pytest.approx(limits.rate_at_worst, rel=0.02)
    assert float(kept.mean()) == pytest.approx(limits.kept_rate, rel=0.02)


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (39, 0.05), (99, 0.01), (25, 0.1)])
def test_exchangeable_runs_exceed_the_limit_as_often_as_it_says(n: int, rate: float) -> None:
    """Whatever the distribution is: here one with heavy tails."""
    rng = np.random.default_rng(n)
    n_trials = 20_000
    draws = rng.standard_t(2, size=(n_trials, n + 1))
    kept = limits_of(np.zeros(n).tolist(), rate)
    limit = np.sort(draws[:, :n], axis=1)[:, -kept.rank]
    alarms = float((draws[:, n] > limit).mean())
    assert abs(alarms - kept.kept_rate) < 4 * math.sqrt(kept.kept_rate * (1 - kept.kept_rate) / n_trials)
    assert limits_of(draws[0, :n].tolist(), rate).factor == max(limit[0], 1.0)
