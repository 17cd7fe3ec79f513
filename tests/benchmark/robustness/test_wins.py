"""The paired share of wins and the interquartile mean."""

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.robustness import AxisInfo, GridInfo, TaskScoring, robustness_table
from benchmark.robustness.cells import read_cells
from benchmark.robustness.common import common_grid
from benchmark.robustness.inference import infer_grids
from benchmark.robustness.levels import interquartile_mean
from benchmark.robustness.wins import on_common_grid, wins_by_seed
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, TABLE_3_SCORING, frame_of, noisy_scores, raw, table_3


def test_a_tie_counts_half() -> None:
    first, second = np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([[1.0, 1.0], [4.0, 3.0]])
    assert wins_by_seed(first, second).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("n_seeds", [1, 4, 12])
def test_wins_are_counted_cell_by_cell(n_seeds: int) -> None:
    scores = noisy_scores(n_seeds, noise=0.1)
    table = robustness_table(frame_of(scores), ACCURACY)
    full = {
        name: np.broadcast_to(own if own.ndim == 3 else own[:, None], (3, 4, n_seeds)) for name, own in scores.items()
    }
    assert len(table.wins) == 3
    for one in table.wins:
        pairs = [
            (full[one.first][cell] > full[one.second][cell]) + 0.5 * (full[one.first][cell] == full[one.second][cell])
            for cell in itertools.product(range(3), range(4), range(n_seeds))
        ]
        assert one.share == pytest.approx(np.mean(pairs))
        if n_seeds == 1:
            assert one.reason == "an interval needs at least 2 seeds, there is 1"
        else:
            assert one.low is not None
            assert one.high is not None
            assert 0 <= one.low <= one.share <= one.high <= 1


def test_the_known_table_tells_how_often_one_wins() -> None:
    """Of the 12 shared cells M-SAM has the higher score in 9, SAM in one, and both collapsed in two."""
    (wins,) = robustness_table(table_3(), TABLE_3_SCORING).wins
    assert (wins.first, wins.second) == ("msam", "sam")
    assert wins.share == pytest.approx((9 + 2 / 2) / 12)


def test_axes_in_another_order_and_axes_that_are_lacking_are_matched() -> None:
    scores = noisy_scores(2)
    frame = frame_of(scores)
    lr, rho = AxisInfo("lr", "log", LRS), AxisInfo("rho", "log", RHOS)
    grids = (
        GridInfo("digits", "gd", (lr,)),
        GridInfo("digits", "sam", (rho, lr)),
        GridInfo("digits", "msam", (lr, rho)),
    )
    (task,) = read_cells(frame, (ACCURACY,), grids)
    common = common_grid(task.optimizers)
    names = [axis.name for axis in common.axes or ()]
    gd, sam, msam = (on_common_grid(cells, common).reshape(3, 4, 2) for cells in task.optimizers)
    assert names == ["lr", "rho"]
    assert np.array_equal(sam, scores["sam"])
    assert np.array_equal(msam, scores["msam"])
    assert np.array_equal(gd, np.broadcast_to(scores["gd"][:, None], (3, 4, 2)))


@pytest.mark.parametrize(("n", "repeats"), [(1, 1), (3, 1), (4, 1), (12, 1), (5, 3), (7, 4)])
def test_the_interquartile_mean_is_that_of_scipy(n: int, repeats: int) -> None:
    scores = np.random.default_rng(n).standard_normal((3, n))
    expected = stats.trim_mean(np.repeat(scores, repeats, axis=1), 0.25, axis=1)
    assert interquartile_mean(scores, repeats) == pytest.approx(expected)


def test_the_interquartile_mean_of_the_known_table() -> None:
    """Sorted: M-SAM .351 .351 .388 | .404 .405 .411 .415 .417 .420 | .422 .433 .446; SAM has one score that learned."""
    table = robustness_table(table_3(), TABLE_3_SCORING)
    assert raw(table, "msam", "iqm") == pytest.approx((0.404 + 0.405 + 0.411 + 0.415 + 0.417 + 0.420) / 6)
    assert raw(table, "sam", "iqm") == pytest.approx(0.351)


def test_two_wild_runs_do_not_move_the_interquartile_mean() -> None:
    scores = noisy_scores(3)
    frame = frame_of(scores)
    before = raw(robustness_table(frame, ACCURACY), "msam", "iqm")
    scores["msam"].reshape(12, 3)[np.argmin(scores["msam"][..., 0]), 0] = np.nan  # the worst run diverges instead
    after = raw(robustness_table(frame_of(scores), ACCURACY), "msam", "iqm")
    assert after == pytest.approx(before)


def test_a_loss_wins_by_being_lower() -> None:
    loss = TaskScoring("digits", "loss", "minimize", 0.05, 2.0)
    scores = {"sam": np.full((1, 2, 2), 0.5), "msam": np.full((1, 2, 2), 0.4)}
    frame = frame_of(scores, scoring=loss, lrs=(0.1,), rhos=(0.1, 1.0))
    (wins,) = robustness_table(frame, loss, infer_grids(frame, loss)).wins
    assert (wins.first, wins.share) == ("msam", 1.0)
