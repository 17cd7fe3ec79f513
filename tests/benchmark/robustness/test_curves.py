"""Tuning curves against all subsets, and against the measures of the table."""

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.robustness import TaskScoring, robustness_table
from benchmark.robustness.curves import MAX_POINTS, TuningCurve, tuning_curves
from benchmark.robustness.tuning import expected_best, share_within
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores, raw


def curves_of(*arguments: object) -> dict[str, TuningCurve]:
    return {curve.optimizer: curve for curve in tuning_curves(*arguments)}  # type: ignore[arg-type]  # passed on


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_every_point_is_the_mean_over_all_subsets(n_seeds: int) -> None:
    rng = np.random.default_rng(0)
    validation, test = rng.random((2, 2, 4, n_seeds))
    curve = curves_of(frame_of({"sam": test}, validation={"sam": validation}, lrs=(0.1, 1.0)), ACCURACY)["sam"]
    assert curve.trials == tuple(range(1, 9))
    picked_on, reported = (scores.reshape(8, n_seeds) for scores in (validation, test))
    for k, value in zip(curve.trials, curve.value, strict=True):
        best_of = [
            np.mean([reported[max(subset, key=picked_on[:, seed].__getitem__), seed] for subset in subsets])
            for seed in range(n_seeds)
            for subsets in [list(itertools.combinations(range(8), k))]
        ]
        assert value == pytest.approx(np.mean(best_of))


def test_it_goes_through_the_measures_of_the_table() -> None:
    frame = frame_of(noisy_scores(4))
    table = robustness_table(frame, ACCURACY)
    curve = curves_of(frame, ACCURACY)["sam"]
    assert curve.value[0] == pytest.approx(raw(table, "sam", "grid_mean"))
    assert curve.value[3] == pytest.approx(raw(table, "sam", "expected_best_4"))
    assert list(curve.value) == sorted(curve.value), "where validation and test are one, more trials never hurt"


@pytest.mark.parametrize("n_seeds", [3, 12])
def test_bands_are_the_intervals_of_the_table(n_seeds: int) -> None:
    frame = frame_of(noisy_scores(n_seeds))
    curve = curves_of(frame, ACCURACY)["sam"]
    table = robustness_table(frame, ACCURACY)
    span = (table.tasks[0].y_ref or 0.0) - ACCURACY.floor
    measure = table.row("digits", "sam").measures["expected_best_4"]
    assert curve.low is not None
    assert curve.high is not None
    assert measure.low is not None
    assert measure.high is not None
    assert curve.low[3] == pytest.approx(ACCURACY.floor + span * measure.low)
    assert curve.high[3] == pytest.approx(ACCURACY.floor + span * measure.high)
    assert (curve.level, curve.method) == (measure.level, measure.method)


def test_a_band_by_hand() -> None:
    curve = curves_of(frame_of({"gd": np.array([[0.5, 0.6, 0.7]])}, lrs=(0.1,)), ACCURACY)["gd"]
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert curve.trials == (1,)
    assert curve.value == pytest.approx((0.6,))
    assert curve.low == pytest.approx((0.6 - half,))
    assert curve.high == pytest.approx((0.6 + half,))


def test_one_seed_has_no_band_and_a_loss_goes_down() -> None:
    scoring = TaskScoring("digits", "loss", "minimize", 0.1, 2.0)
    curve = curves_of(frame_of({"gd": np.array([[3.0], [1.0], [0.5]])}, scoring=scoring), scoring)["gd"]
    assert curve.value == pytest.approx(((2 + 1 + 0.5) / 3, (1 + 0.5 + 0.5) / 3, 0.5))
    assert (curve.low, curve.high, curve.method) == (None, None, None)


def test_a_large_grid_has_few_points_from_one_trial_to_all() -> None:
    n = 1_000
    scores = np.random.default_rng(0).random((n, 2))
    curve = curves_of(frame_of({"gd": scores}, lrs=tuple(np.geomspace(1e-3, 1, n))), ACCURACY)["gd"]
    assert (curve.trials[0], curve.trials[-1]) == (1, n)
    assert len(curve.trials) <= MAX_POINTS
    assert curve.value[-1] == pytest.approx(scores.max(axis=0).mean())


@pytest.mark.parametrize("k", [1, 7, 500, 999, 1_000])
def test_shares_add_up_for_any_number_of_trials(k: int) -> None:
    shares = share_within(1_000, k)
    assert shares[[0, -1]].tolist() == [0.0, 1.0]
    assert (np.diff(shares) >= 0).all()
    same = np.full((1_000, 1), 0.3)
    assert expected_best(np.arange(1_000.0)[:, None], same, [k])[0, 0] == pytest.approx(0.3)
