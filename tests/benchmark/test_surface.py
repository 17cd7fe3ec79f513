"""The surface: raw scores at each point, averaged over the seeds there are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmark.errors import TableError
from benchmark.robustness import TaskScoring, infer_grids, robustness_table
from benchmark.surface import surfaces
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, lose, noisy_scores

SCORES = np.array([[[0.9, 0.7], [0.8, np.nan], [np.nan, np.nan], [0.4, 0.6]]])


def test_shape_and_values() -> None:
    (surface,) = surfaces(frame_of({"sam": SCORES}, lrs=(0.1,)), ACCURACY)
    assert list(surface) == ["task", "optimizer", "metric", "goal", "split", "seeds", "design", "axes", "points"]
    assert surface["axes"] == [{"name": "rho", "scale": "log", "values": list(RHOS)}]
    assert surface["seeds"] == [0, 1]
    assert surface["split"] == "test"
    first, second, third, _ = surface["points"]
    assert first == {
        "hyperparameters": {"rho": 0.01},
        "mean": pytest.approx(0.8),
        "sd": pytest.approx(np.std([0.9, 0.7], ddof=1)),
        "per_seed": [0.9, 0.7],
        "status_per_seed": ["completed", "completed"],
        "n_diverged": 0,
        "n_collapsed": 0,
        "n_missing": 0,
    }
    assert (second["per_seed"], second["n_diverged"]) == ([0.8, 0.1], 1)
    assert second["status_per_seed"] == ["completed", "diverged"]
    assert (third["mean"], third["sd"], third["n_diverged"]) == (pytest.approx(0.1), 0, 2)
    json.dumps(surface, allow_nan=False)


def test_points_are_in_the_order_of_the_grid() -> None:
    frame = frame_of(noisy_scores(2)).sample(frac=1, random_state=0)
    by_optimizer = {
        surface["optimizer"]: surface for surface in surfaces(frame, ACCURACY, infer_grids(frame, ACCURACY))
    }
    points = [tuple(point["hyperparameters"].values()) for point in by_optimizer["sam"]["points"]]
    assert points == [(lr, rho) for lr in LRS for rho in RHOS]
    assert [point["hyperparameters"] for point in by_optimizer["gd"]["points"]] == [{"lr": lr} for lr in LRS]


def test_validation_and_test_are_told_apart() -> None:
    frame = frame_of({"sam": SCORES}, validation={"sam": SCORES / 2}, lrs=(0.1,))
    test, validation = (surfaces(frame, ACCURACY, split=split)[0] for split in ("test", "validation"))
    assert validation["points"][0]["mean"] == pytest.approx(test["points"][0]["mean"] / 2)
    assert validation["split"] == "validation"


def test_means_are_over_the_seeds_that_have_a_result() -> None:
    frame = frame_of({"sam": SCORES}, lrs=(0.1,))
    lose(frame, 0, "timed_out")
    lose(frame, [4, 5], "missing")
    first, _, third, _ = surfaces(frame, ACCURACY)[0]["points"]
    assert (first["mean"], first["sd"], first["per_seed"], first["n_missing"]) == (0.7, None, [None, 0.7], 1)
    assert (third["mean"], third["per_seed"], third["n_missing"]) == (None, [None, None], 2)
    assert first["status_per_seed"] == ["timed_out", "completed"]
    assert third["status_per_seed"] == ["missing", "missing"]


def test_a_loss_stays_in_its_units_and_is_cut_at_the_floor() -> None:
    scoring = TaskScoring("digits", "loss", "minimize", 0.1, 2.0)
    scores = np.array([[[0.0], [5.0], [np.nan], [1.0]]])
    points = surfaces(frame_of({"sam": scores}, scoring=scoring, lrs=(0.1,)), scoring)[0]["points"]
    assert [point["mean"] for point in points] == [0.0, 2.0, 2.0, 1.0]
    assert not np.signbit(points[0]["mean"])


def test_collapsed_runs_are_counted() -> None:
    frame = frame_of({"sam": SCORES}, lrs=(0.1,))
    frame.loc[0, "collapsed"] = True
    assert surfaces(frame, ACCURACY)[0]["points"][0]["n_collapsed"] == 1


def test_the_best_point_is_that_of_the_table() -> None:
    frame = frame_of(noisy_scores(4))
    table = robustness_table(frame, ACCURACY)
    for surface in surfaces(frame, ACCURACY, split="validation"):
        best = max(surface["points"], key=lambda point: point["mean"])
        row = table.row("digits", surface["optimizer"])
        assert row.best is not None
        assert best["hyperparameters"] == row.best.hyperparameters


def test_what_allows_no_table_allows_no_surface() -> None:
    with pytest.raises(TableError, match="every task needs a scoring"):
        surfaces(frame_of(noisy_scores(2)), replace(ACCURACY, task="other"))
