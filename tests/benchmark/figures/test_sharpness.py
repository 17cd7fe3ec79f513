"""Sharpness against score: what is prepared from a frame, and the structure of both pictures."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.figures import FigureData, figure_of
from benchmark.figures.matplotlib_sharpness import sharpness_matplotlib
from benchmark.figures.plotly_sharpness import sharpness_plotly
from benchmark.figures.sharpness import prepare_sharpness, rank_correlation
from benchmark.robustness.scoring import TaskScoring

pytestmark = pytest.mark.slow
SCORING = TaskScoring("digits", "accuracy", "maximize", 0.01, 0.1)


def frame(n: int = 6) -> pd.DataFrame:
    """Runs of two optimizers: of `flat` the score rises with sharpness, of `<steep>` it falls; one diverged."""
    rows = [
        {
            "task": "digits",
            "optimizer": optimizer,
            "status": "completed",
            "collapsed": place == 0,
            "test_accuracy": 0.5 + sign * 0.01 * place,
            "sharpness_sam": 0.01 * (place + 1),
            "sharpness_trace": 10.0**place - 2,
        }
        for optimizer, sign in (("flat", 1), ("<steep>", -1))
        for place in range(n)
    ]
    gone = {
        **rows[0],
        "status": "diverged",
        "test_accuracy": np.nan,
        "sharpness_sam": np.nan,
        "sharpness_trace": np.nan,
    }
    return pd.DataFrame([*rows, gone, {**rows[0], "task": "elsewhere", "optimizer": "third"}])


def test_each_measure_is_a_panel_with_a_cloud_an_optimizer() -> None:
    shown = prepare_sharpness(frame(), SCORING)
    assert (shown.title, shown.y_title) == ("digits: test accuracy against sharpness", "test accuracy")
    assert [panel.title for panel in shown.panels] == ["trace of the Hessian", "SAM sharpness, \u03c1 0.05"]
    assert [panel.is_log for panel in shown.panels] == [False, False]  # -1 has no logarithm; 6 is less than 10
    trace, sam = shown.panels
    for panel in (trace, sam):
        assert [cloud.optimizer for cloud in panel.clouds] == ["flat", "<steep>"]
        assert [cloud.style for cloud in panel.clouds] == [0, 1]
        assert [cloud.tau for cloud in panel.clouds] == [pytest.approx(1.0), pytest.approx(-1.0)]
        assert all(cloud.collapsed.sum() == 1 for cloud in panel.clouds)
    assert sorted(sam.clouds[0].x.tolist()) == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert sam.clouds[1].label == "<steep>: \u03c4 \u22121.00 (n = 6)"


def test_positive_values_over_a_decade_are_on_a_log_axis() -> None:
    runs = frame(12)
    runs["sharpness_trace"] += 2
    assert [panel.is_log for panel in prepare_sharpness(runs, SCORING).panels] == [True, True]


def test_the_rank_correlation_is_that_of_all_pairs() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, 30).astype(float), generator.integers(0, 6, 30).astype(float)
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in itertools.combinations(range(30), 2)]
    untied = [sum(v[i] != v[j] for i, j in itertools.combinations(range(30), 2)) for v in (x, y)]
    assert rank_correlation(x, y) == pytest.approx(sum(signs) / math.sqrt(untied[0] * untied[1]))


@pytest.mark.parametrize(
    ("x", "y"),
    [([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]), ([1.0, 2.0, 3.0, 4.0], [1.0] * 4)],
)
def test_too_few_or_constant_values_have_none(x: list[float], y: list[float]) -> None:
    assert rank_correlation(np.array(x), np.array(y)) is None


def test_fewer_than_four_runs_say_none() -> None:
    clouds = prepare_sharpness(frame(3), SCORING).panels[0].clouds
    assert [cloud.label for cloud in clouds] == ["flat: \u03c4 none (n = 3)", "<steep>: \u03c4 none (n = 3)"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda runs: runs.drop(columns=["sharpness_sam", "sharpness_trace"]), r"sharpness: \[lambda_max\]"),
        (lambda runs: runs.assign(sharpness_sam=np.nan, sharpness_trace=np.nan), "but digits has none"),
        (lambda runs: runs.assign(status="failed"), "needs a completed run with a measure"),
        (lambda runs: runs.drop(columns="test_accuracy"), "must have a column test_accuracy or accuracy"),
        (lambda runs: runs.assign(task="digit"), "but digits has none"),
    ],
)
def test_what_cannot_be_drawn_says_why(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(TableError, match=message):
        prepare_sharpness(change(frame()), SCORING)


def test_the_image_has_every_point_the_legend_and_the_warning() -> None:
    image = sharpness_matplotlib(prepare_sharpness(frame(), SCORING))
    text = image.decode()
    assert text.count("fill-opacity: 0.75") == 24  # a style a point
    assert text.count("&lt;steep&gt;: \u03c4 \u22121.00 (n = 6)") == 2
    assert "Andriushchenko" in text
    assert image == sharpness_matplotlib(prepare_sharpness(frame(), SCORING))
    assert sharpness_matplotlib(prepare_sharpness(frame(), SCORING), image_format="png").startswith(b"\x89PNG")


def test_the_figure_for_web_pages_has_the_same_points() -> None:
    figure = sharpness_plotly(prepare_sharpness(frame(), SCORING))
    json.dumps(figure, allow_nan=False)
    shown = prepare_sharpness(frame(), SCORING)
    clouds = [cloud for panel in shown.panels for cloud in panel.clouds]
    assert [trace["x"] for trace in figure["data"]] == [cloud.x.tolist() for cloud in clouds]
    assert [trace["y"] for trace in figure["data"]] == [cloud.y.tolist() for cloud in clouds]
    assert figure["data"][1]["name"] == "&lt;steep&gt;: \u03c4 \u22121.00 (n = 6)"
    assert [trace["legend"] for trace in figure["data"]] == ["legend", "legend", "legend2", "legend2"]
    assert any("Andriushchenko" in annotation["text"] for annotation in figure["layout"]["annotations"])


def test_more_than_three_measures_take_two_rows() -> None:
    runs = frame()
    for name in ("lambda_max", "monge", "adaptive"):
        runs[f"sharpness_{name}"] = runs["sharpness_sam"]
    assert len(prepare_sharpness(runs, SCORING).panels) == 5
    axes = [name for name in sharpness_plotly(prepare_sharpness(runs, SCORING))["layout"] if name.startswith("yaxis")]
    assert len(axes) >= 5
    assert sharpness_matplotlib(prepare_sharpness(runs, SCORING), image_format="pdf").startswith(b"%PDF")


def test_runs_of_ones_own_need_no_status() -> None:
    own = frame().query("status == 'completed' and task == 'digits'").assign(lr=range(12), seed=0)
    own = own.drop(columns=["status", "collapsed", "task"])
    shown = figure_of(FigureData.of_frame(own, SCORING), "sharpness")
    assert [cloud.tau for cloud in shown.prepared.panels[0].clouds] == [pytest.approx(1.0), pytest.approx(-1.0)]
    assert not any(cloud.collapsed.any() for panel in shown.prepared.panels for cloud in panel.clouds)
