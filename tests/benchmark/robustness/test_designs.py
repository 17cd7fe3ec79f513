"""Tables of runs that lie on no grid: random and Sobol designs, and adaptive searches."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import TableError
from benchmark.robustness import AxisInfo, GridInfo, RobustnessTable, robustness_table
from benchmark.robustness.evaluate import ADAPTIVE
from benchmark.robustness.rendering import render_markdown
from benchmark.surface import surfaces
from tests.benchmark.robustness.runs import ACCURACY

POINTS = ((0.3, 0.2), (0.1, 0.5), (0.7, 0.05), (0.02, 0.9))
OTHERS = tuple((lr, rho / 2) for lr, rho in POINTS)
AXES: list[tuple[str, Any]] = [("lr", "log"), ("rho", "log")]
SCORES = {(0.3, 0.2): 0.9, (0.1, 0.5): 0.6, (0.7, 0.05): np.nan, (0.02, 0.9): 0.3}
SEEDS = range(3)


def design(optimizer: str, points: Any = POINTS, method: Any = "random") -> GridInfo:
    return GridInfo.of_points("digits", optimizer, AXES[: len(points[0])], points, design=method)


def runs(optimizer: str, points: Any = POINTS, shift: float = 0.0) -> pd.DataFrame:
    """Runs whose seeds differ by a hundredth around a score that depends on the place in the design."""
    scores = list(SCORES.values())
    rows = [
        {
            "task": "digits",
            "optimizer": optimizer,
            "seed": seed,
            **dict(zip(("lr", "rho"), point, strict=False)),
            "val_accuracy": scores[place] + shift + 0.01 * seed,
            "test_accuracy": scores[place] + shift + 0.01 * seed,
            "status": "diverged" if np.isnan(scores[place]) else "completed",
            "collapsed": False,
        }
        for place, point in enumerate(points)
        for seed in SEEDS
    ]
    return pd.DataFrame(rows)


def table_of(*parts: tuple[pd.DataFrame, GridInfo]) -> RobustnessTable:
    frame = pd.concat([frame for frame, _ in parts], ignore_index=True)
    return robustness_table(frame, ACCURACY, [grid for _, grid in parts])


def gd() -> tuple[pd.DataFrame, GridInfo]:
    points = tuple((lr,) for lr, _ in POINTS)
    return runs("gd", points, 0.02), design("gd", points)


def test_measures_of_a_design_by_hand() -> None:
    table = table_of((runs("sam"), design("sam")))
    measures = table.row("digits", "sam").measures
    means = [0.91, 0.61, ACCURACY.floor, 0.31]
    assert measures["grid_mean"].raw == pytest.approx(np.mean(means))
    assert measures["best"].raw == pytest.approx(0.91)
    assert measures["worst"].raw == pytest.approx(ACCURACY.floor)
    assert measures["good_share"].value == pytest.approx(0.25)
    assert measures["diverged_rate"].value == pytest.approx(0.25)
    assert measures["expected_best_4"].raw == pytest.approx(0.91)
    for name in ("rho_width_max", "rho_width_mean", "variance_rho", "variance_lr", "variance_interaction"):
        assert measures[name].value is None
        assert "random design" in (measures[name].reason or "")
    row = table.row("digits", "sam")
    assert row.grid.design == "random"
    assert row.best is not None
    assert dict(row.best.hyperparameters) == {"lr": 0.3, "rho": 0.2}
    assert row.best.borders == ()  # a design has no border that could go on


def test_the_order_of_the_rows_does_not_matter_and_a_grid_agrees() -> None:
    """A design of the points of a grid has the measures of that grid."""
    points = tuple((lr, rho) for lr in (0.1, 0.3) for rho in (0.2, 0.5))
    frame = runs("sam", points).sample(frac=1.0, random_state=1)
    as_design = robustness_table(frame, ACCURACY, [design("sam", points[::-1])]).row("digits", "sam").measures
    as_grid = robustness_table(frame, ACCURACY).row("digits", "sam").measures
    for name in ("best", "grid_mean", "worst", "p10", "good_share", "diverged_rate", "expected_best_4"):
        assert as_design[name].value == pytest.approx(as_grid[name].value)
        assert as_design[name].low == pytest.approx(as_grid[name].low)


def test_rows_on_the_common_design_are_ranked_and_one_without_rho_is_broadcast() -> None:
    table = table_of(
        gd(),
        (runs("sam"), design("sam")),
        (runs("msam"), design("msam")),
        (runs("asam", OTHERS), design("asam", OTHERS)),
    )
    ranked = {row.optimizer: (row.ranked, row.grid.broadcast) for row in table.rows}
    assert ranked == {"gd": (True, ("rho",)), "sam": (True, ()), "msam": (True, ()), "asam": (False, ())}
    assert table.row("digits", "asam").grid.reason == "other configurations than the common design"
    (summary,) = table.tasks
    assert (summary.design, summary.n_configurations) == ("random", 4)
    assert {(one.first, one.second) for one in table.differences} == {
        ("gd", "sam"),
        ("gd", "msam"),
        ("sam", "msam"),
    }
    assert {(one.first, one.second) for one in table.wins} == {(one.first, one.second) for one in table.differences}
    assert RobustnessTable.from_dict(table.to_dict()) == table
    assert "random design of 4 configurations, lr 0.02 to 0.7, rho 0.05 to 0.9" in render_markdown(table)


def test_without_a_majority_nothing_is_ranked() -> None:
    table = table_of((runs("sam"), design("sam")), (runs("asam", OTHERS), design("asam", OTHERS)))
    assert not any(row.ranked for row in table.rows)
    assert {row.grid.reason for row in table.rows} == {"no design is shared by most optimizers"}


def test_an_optimizer_with_one_configuration_is_constant_over_a_design() -> None:
    frame = runs("gd", ((0.3,),))
    constant = frame[frame["lr"] == 0.3].drop(columns="lr")
    table = table_of((constant, GridInfo("digits", "gd", ())), (runs("sam"), design("sam")))
    row = table.row("digits", "gd")
    assert (row.ranked, row.grid.broadcast, row.grid.n_configurations) == (True, ("lr", "rho"), 1)


@pytest.mark.parametrize(
    ("point", "message"),
    [((0.3, 0.5), "one of the 4 configurations of its design"), ((0.31, 0.2), "must be on the grid")],
)
def test_a_run_off_the_design_is_refused(point: tuple[float, float], message: str) -> None:
    frame = pd.concat([runs("sam"), runs("sam", (point,))], ignore_index=True)
    with pytest.raises(TableError, match=message):
        robustness_table(frame, ACCURACY, [design("sam")])


def test_a_missing_cell_of_a_design_is_named() -> None:
    frame = runs("sam")
    table = robustness_table(frame[~((frame["lr"] == 0.1) & (frame["seed"] == 2))], ACCURACY, [design("sam")])
    assert table.missing.count == 1
    assert dict(table.missing.first[0].hyperparameters) == {"lr": 0.1, "rho": 0.5}


def test_a_surface_of_a_design_has_its_points() -> None:
    (surface,) = surfaces(runs("sam"), ACCURACY, [design("sam")])
    assert surface["design"] == "random"
    assert [tuple(point["hyperparameters"].values()) for point in surface["points"]] == list(POINTS)
    assert surface["points"][2]["n_diverged"] == 3


def adaptive(n: int = 4) -> GridInfo:
    axes = (AxisInfo("lr", "log", (0.01, 1.0)), AxisInfo("rho", "log", (0.01, 1.0)))
    return GridInfo("digits", "sam", axes, "tpe", n_planned=n * len(SEEDS))


def test_an_adaptive_search_has_its_best_its_failures_and_its_trace() -> None:
    order = (1, 3, 2, 0)
    frame = pd.concat([runs("sam").iloc[3 * place : 3 * place + 3] for place in order], ignore_index=True)
    table = robustness_table(frame, ACCURACY, [adaptive()])
    row = table.row("digits", "sam")
    assert not row.ranked
    assert row.grid.reason == ADAPTIVE
    assert row.grid.trace == pytest.approx((0.61, 0.61, 0.61, 0.91))
    assert row.grid.n_configurations == row.grid.n_complete == 4
    assert row.measures["best"].raw == pytest.approx(0.91)
    assert row.measures["diverged_rate"].value == pytest.approx(0.25)
    others = {"grid_mean", "worst", "p10", "good_share", "expected_best_1", "rho_width_max", "variance_rho"}
    assert {row.measures[name].reason for name in others} == {ADAPTIVE}
    assert table.complete
    assert RobustnessTable.from_dict(table.to_dict()) == table


@pytest.mark.parametrize("n_rows", [0, 4])
def test_an_adaptive_search_that_is_under_way_is_incomplete(n_rows: int) -> None:
    table = robustness_table(runs("sam").iloc[:n_rows], ACCURACY, [adaptive()])
    assert table.missing.count == 12 - n_rows
    assert not table.complete
    render_markdown(table)


def test_an_adaptive_search_beside_a_grid_leaves_the_grid_ranked() -> None:
    grid_runs = pd.concat([runs("gd", ((0.3,), (0.1,))), runs("sam")], ignore_index=True)
    table = robustness_table(
        grid_runs, ACCURACY, [GridInfo("digits", "gd", (AxisInfo("lr", "log", (0.1, 0.3)),)), adaptive()]
    )
    assert {row.optimizer: row.ranked for row in table.rows} == {"gd": True, "sam": False}
