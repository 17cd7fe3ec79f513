"""The published table of the method's paper, for every measure that it determines."""

import itertools
import math

import numpy as np
import pytest

from benchmark.robustness import RobustnessTable, infer_grids, robustness_table
from tests.benchmark.robustness.runs import TABLE_3, TABLE_3_RHOS, TABLE_3_SCORING, raw, table_3, value

SCORES = {
    o: np.array([[0.351 if y is None else y for y in row] for row in by_lr.values()]) for o, by_lr in TABLE_3.items()
}


@pytest.fixture(scope="module")
def table() -> RobustnessTable:
    return robustness_table(table_3(), TABLE_3_SCORING)


@pytest.mark.parametrize(
    ("optimizer", "measure", "expected"),
    [
        ("sam", "grid_mean", 0.3555),
        ("msam", "grid_mean", 0.40525),
        ("sam", "expected_best_1", 0.3555),
        ("msam", "expected_best_1", 0.40525),
        ("sam", "expected_best_4", 0.369),
        ("sam", "best", 0.405),
        ("msam", "best", 0.446),
        ("sam", "worst", 0.351),
        ("msam", "worst", 0.351),
        ("sam", "p10", 0.351),
        ("msam", "p10", 0.351 + 0.1 * (0.388 - 0.351)),
        ("sam", "diverged_rate", 0.0),
        ("msam", "diverged_rate", 0.0),
        ("sam", "iqm", 0.351),
        ("msam", "iqm", (0.404 + 0.405 + 0.411 + 0.415 + 0.417 + 0.420) / 6),
        ("sam", "collapsed_rate", 11 / 12),
        ("msam", "collapsed_rate", 2 / 12),
        ("sam", "good_share", 0.0),
        ("msam", "good_share", 1 / 12),
        ("sam", "rho_width_max", 0.0),
        ("msam", "rho_width_max", math.log10(0.04 / 0.03) / 2),
        ("msam", "rho_width_mean", math.log10(0.04 / 0.03) / 6),
        ("sam", "rho_width_mean", 0.0),
        ("sam", "variance_rho", 3 / 11),
        ("sam", "variance_lr", 2 / 11),
        ("sam", "variance_interaction", 6 / 11),
    ],
)
def test_raw_values(table: RobustnessTable, optimizer: str, measure: str, expected: float) -> None:
    assert raw(table, optimizer, measure) == pytest.approx(expected, abs=1e-12)


def test_expected_best_of_four_is_that_of_all_subsets(table: RobustnessTable) -> None:
    for optimizer, scores in SCORES.items():
        brute = np.mean([max(subset) for subset in itertools.combinations(scores.ravel(), 4)])
        assert raw(table, optimizer, "expected_best_4") == pytest.approx(brute, abs=1e-12)
    assert raw(table, "msam", "expected_best_4") == pytest.approx(0.431, abs=5e-4)


def test_the_variance_of_monge_sam_is_that_of_its_analysis_by_hand(table: RobustnessTable) -> None:
    """Means of lr .4085, .425, .38225 and of rho .399, .4166..., .3996..., .4056... about .40525: 4 and 3 a mean."""
    scores = SCORES["msam"]
    total = sum((y - 0.40525) ** 2 for y in scores.ravel())
    by_lr = 4 * sum((m - 0.40525) ** 2 for m in (0.4085, 0.425, 0.38225))
    by_rho = 3 * sum((m - 0.40525) ** 2 for m in (1.197 / 3, 1.25 / 3, 1.199 / 3, 1.217 / 3))
    assert value(table, "msam", "variance_lr") == pytest.approx(by_lr / total)
    assert value(table, "msam", "variance_rho") == pytest.approx(by_rho / total)
    assert value(table, "msam", "variance_interaction") == pytest.approx(1 - (by_lr + by_rho) / total)
    # statsmodels 0.15: anova_lm(ols("y ~ C(rho) + C(lr)", runs).fit()).sum_sq / their sum
    shares = [value(table, "msam", f"variance_{name}") for name in ("rho", "lr", "interaction")]
    assert shares == pytest.approx([0.06420404573, 0.39641800592, 0.53937794835])


def test_the_paired_difference_and_the_wins(table: RobustnessTable) -> None:
    """Of the 12 cells M-SAM is ahead in 9, behind in one and level in two; one seed has no interval and no p-value."""
    (one,) = (one for one in table.differences if one.measure == "grid_mean")
    assert (one.first, one.second, one.low, one.p_value) == ("msam", "sam", None, None)
    assert one.raw == pytest.approx(0.40525 - 0.3555)
    assert table.wins[0].share == pytest.approx(10 / 12)


def test_scores_are_normalised_by_the_best_of_all_optimizers(table: RobustnessTable) -> None:
    assert value(table, "msam", "best") == pytest.approx(1.0)
    assert value(table, "sam", "best") == pytest.approx((0.405 - 0.351) / (0.446 - 0.351))
    assert table.tasks[0].y_ref == pytest.approx(0.446)


def test_a_reference_of_ones_own_best_would_hide_the_difference() -> None:
    """With its own best as the reference each optimizer has the same share of good configurations."""
    for optimizer in TABLE_3:
        alone = robustness_table(table_3().query("optimizer == @optimizer"), TABLE_3_SCORING)
        assert value(alone, optimizer, "good_share") == pytest.approx(1 / 12)


def test_border_and_censoring_are_told(table: RobustnessTable) -> None:
    best = table.row("clip", "msam").best
    assert best is not None
    assert best.hyperparameters == {"lr": 5e-5, "rho": 0.04}
    assert [(border.axis, border.end) for border in best.borders] == [("rho", "high")]
    assert table.row("clip", "msam").measures["best"].flags == ("border_rho_high",)
    assert table.row("clip", "msam").measures["rho_width_max"].flags == ("censored_high",)


def test_rows_come_by_rank_without_a_leader_as_one_seed_tells_nothing(table: RobustnessTable) -> None:
    assert [row.optimizer for row in table.rows] == ["msam", "sam"]
    assert all(row.ranked for row in table.rows)
    every = [measure for row in table.rows for measure in row.measures.values()]
    assert not any("leads" in measure.flags for measure in every)
    assert all(measure.low is None for measure in every)
    assert table.row("clip", "sam").measures["grid_mean"].reason == "an interval needs at least 2 seeds, there is 1"


def test_the_grid_is_read_off_the_runs() -> None:
    grid = infer_grids(table_3(), TABLE_3_SCORING)[0]
    assert [(axis.name, axis.scale) for axis in grid.axes] == [("lr", "values"), ("rho", "linear")]
    assert grid.axes[1].values == TABLE_3_RHOS


def test_more_trials_than_configurations_are_null_with_the_reason(table: RobustnessTable) -> None:
    measure = table.row("clip", "sam").measures["expected_best_16"]
    assert measure.value is None
    assert measure.reason == "16 trials are more than the 12 configurations"
