"""Slices through the best configuration: by hand, and what holds for any scores."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.robustness import TaskScoring, robustness_table
from benchmark.robustness.marginal import FACTORS, Slice, slices
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, lose, noisy_scores

# one lr a row, one rho a column, for both seeds; the best is 0.9 at lr 0.1, rho 0.1
SCORES = np.array([[0.2, 0.3, 0.4, 0.1], [0.8, 0.9, 0.7, 0.3], [0.1, 0.5, 0.2, 0.1]])
TWO_SEEDS = np.stack([SCORES - 0.01, SCORES + 0.01], axis=-1)
GD = np.array([[0.5, 0.52], [0.6, 0.62], [0.4, 0.42]])


def found(*arguments: object, **options: object) -> dict[tuple[str, str], Slice]:
    return {(one.optimizer, one.axis): one for one in slices(*arguments, **options)}  # type: ignore[arg-type]  # passed on


def test_along_rho_at_the_best_lr_and_along_lr_at_the_best_rho() -> None:
    sliced = found(frame_of({"sam": TWO_SEEDS}), ACCURACY)
    assert list(sliced) == [("sam", "rho"), ("sam", "lr")]
    along_rho, along_lr = sliced.values()
    assert (along_rho.values, along_rho.others, along_rho.best) == (RHOS, {"lr": 0.1}, 0.1)
    assert (along_lr.values, along_lr.others, along_lr.best) == (LRS, {"rho": 0.1}, 0.1)
    assert along_rho.mean == pytest.approx(SCORES[1])
    assert along_lr.mean == pytest.approx(SCORES[:, 1])


def test_bands_are_t_intervals_of_the_seeds_at_each_point() -> None:
    one = found(frame_of({"sam": TWO_SEEDS}), ACCURACY)["sam", "rho"]
    half = stats.t.ppf(0.975, 1) * 0.01
    assert one.low == pytest.approx(SCORES[1] - half)
    assert one.high == pytest.approx(SCORES[1] + half)
    assert (one.level, one.method) == (0.95, "t-interval over seeds")


def test_from_ten_seeds_on_bands_are_those_of_the_joint_bootstrap() -> None:
    scores = noisy_scores(10)
    one = found(frame_of(scores), ACCURACY)["gd", "lr"]
    table = robustness_table(frame_of({"gd": scores["gd"][1:2]}, lrs=LRS[1:2]), ACCURACY, y_ref={"digits": 1.1})
    mean = table.row("digits", "gd").measures["grid_mean"]
    assert mean.low is not None
    assert mean.high is not None
    assert one.low[1] == pytest.approx(mean.low + 0.1)
    assert one.high[1] == pytest.approx(mean.high + 0.1)
    assert one.method is not None
    assert "bootstrap" in one.method


def test_drops_are_the_loss_at_a_grid_value_or_on_the_line_between_two() -> None:
    one = found(frame_of({"sam": TWO_SEEDS}), ACCURACY)["sam", "rho"]
    assert tuple(drop.factor for drop in one.drops) == FACTORS == (0.1, 0.5, 2.0, 10.0)
    share = np.log10(2)
    expected = (0.1, share * 0.1, share * 0.2, 0.2)
    assert [drop.value for drop in one.drops] == pytest.approx(expected)
    for drop in one.drops:  # a shared effect of the seed cancels: nothing is left to make an interval of
        assert (drop.low, drop.reason) == (None, "no interval where the seeds do not differ")


def test_a_drop_has_the_paired_interval() -> None:
    scores = noisy_scores(5)
    one = found(frame_of(scores), ACCURACY)["sam", "rho"]
    assert one.best is not None
    lr, rho = LRS.index(float(one.others["lr"])), RHOS.index(one.best)
    lost = scores["sam"][lr, rho] - scores["sam"][lr, rho + 1]
    drop = one.drops[-1]
    half = stats.t.ppf(0.975, 4) * lost.std(ddof=1) / np.sqrt(5)
    assert (drop.value, drop.low, drop.high) == pytest.approx((lost.mean(), lost.mean() - half, lost.mean() + half))


def test_beyond_the_grid_nothing_is_claimed() -> None:
    at_the_end = np.stack([SCORES[:, ::-1]] * 2, axis=-1)[:, 2:]
    one = found(frame_of({"sam": at_the_end}, rhos=RHOS[:2]), ACCURACY)["sam", "rho"]
    assert one.best == 0.01
    assert [drop.value is None for drop in one.drops] == [True, True, False, False]
    assert one.drops[0].reason == "the grid does not reach so far"


def test_a_value_without_a_logarithm_has_no_factors() -> None:
    one = found(frame_of({"sam": TWO_SEEDS}, rhos=(0.0, 0.1, 1.0, 10.0)), ACCURACY)["sam", "rho"]
    assert {drop.reason for drop in one.drops} == {"0 has no place on a logarithmic scale"}


def test_an_optimizer_without_rho_is_constant_along_it() -> None:
    one = found(frame_of({"sam": TWO_SEEDS, "gd": GD}), ACCURACY)["gd", "rho"]
    assert (one.values, one.best, one.others, one.drops) == ((0.01, 10.0), None, {"lr": 0.1}, ())
    assert one.mean == pytest.approx((0.61, 0.61))


def test_an_optimizer_with_one_rho_is_a_point_along_it() -> None:
    frame = pd.concat([frame_of({"sam": TWO_SEEDS}), frame_of({"held": GD[:, np.newaxis]}, rhos=RHOS[:1])])
    one = found(frame, ACCURACY)["held", "rho"]
    assert (one.values, one.drops) == ((0.01,), ())
    assert one.mean == pytest.approx((0.61,))


def test_a_point_without_every_result_is_a_gap() -> None:
    frame = frame_of({"sam": TWO_SEEDS})
    lose(frame, frame.index[(frame["lr"] == 0.1) & (frame["rho"] == 1.0) & (frame["seed"] == 0)], "timed_out")
    one = found(frame, ACCURACY)["sam", "rho"]
    assert [value is None for value in one.mean] == [value is None for value in one.low] == [False, False, True, False]
    assert one.mean[3] == pytest.approx(0.3)
    assert [drop.value is None for drop in one.drops] == [False, False, True, True]
    assert {drop.reason for drop in one.drops[2:]} == {"a run there has no result"}


def test_a_diverged_run_scores_the_floor() -> None:
    scores = TWO_SEEDS.copy()
    scores[1, 3] = np.nan
    assert found(frame_of({"sam": scores}), ACCURACY)["sam", "rho"].mean[3] == pytest.approx(0.1)


def test_one_seed_has_no_bands() -> None:
    one = found(frame_of({"sam": TWO_SEEDS[..., :1]}), ACCURACY)["sam", "rho"]
    assert (one.method, set(one.low), set(one.high)) == (None, {None}, {None})
    assert one.drops[0].reason == "an interval needs at least 2 seeds, there is 1"


def test_a_minimised_metric_stays_in_its_units_and_its_drops_are_losses() -> None:
    scoring = TaskScoring("digits", "loss", "minimize", 0.1, 2.0)
    one = found(frame_of({"sam": 1 - TWO_SEEDS}, scoring=scoring), scoring)["sam", "rho"]
    assert one.mean == pytest.approx(1 - SCORES[1])
    assert all(low <= mean <= high for low, mean, high in zip(one.low, one.mean, one.high, strict=True))  # type: ignore[operator]  # all known
    assert [drop.value for drop in one.drops][::3] == pytest.approx([0.1, 0.2])


def test_the_cut_goes_through_the_best_by_validation() -> None:
    validation = np.zeros_like(TWO_SEEDS)
    validation[2, 0] = 1.0
    one = found(frame_of({"sam": TWO_SEEDS}, validation={"sam": validation}), ACCURACY)["sam", "rho"]
    assert (one.best, one.others) == (0.01, {"lr": 1.0})
    assert one.mean == pytest.approx(SCORES[2])
    assert one.drops[-1].value == pytest.approx(-0.4), "test may find another one better"


def test_slices_are_plain_values_and_do_not_depend_on_the_order_of_runs() -> None:
    frame = frame_of(noisy_scores(3))
    shuffled = frame.sample(frac=1, random_state=1)
    one, other = (
        json.dumps([entry.to_dict() for entry in sorted(slices(runs, ACCURACY), key=lambda s: (s.optimizer, s.axis))])
        for runs in (frame, shuffled)
    )
    assert one == other


def test_no_complete_configuration_is_no_slice() -> None:
    frame = frame_of({"sam": TWO_SEEDS, "gd": GD})
    lose(frame, frame.index[(frame["optimizer"] == "sam") & (frame["seed"] == 1)], "missing")
    assert set(found(frame, ACCURACY)) == set(itertools.product(["gd"], ["lr"]))
