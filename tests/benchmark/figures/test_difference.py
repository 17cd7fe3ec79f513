"""Difference maps: which pairs and cells, which marks, and the structure of what the two libraries make of them."""

import itertools
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.errors import TableError
from benchmark.figures import FigureData, figure_of
from benchmark.figures.difference import DifferenceMap
from benchmark.figures.plotly_difference import MARK
from benchmark.robustness import infer_grids
from benchmark.robustness.intervals import band_of, weights_for
from benchmark.robustness.scoring import TaskScoring
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, noisy_scores

pytestmark = pytest.mark.slow


def shown(frame: pd.DataFrame, *optimizers: str, scoring: TaskScoring = ACCURACY) -> DifferenceMap:
    figure = figure_of(FigureData.of_frame(frame, scoring), "difference", optimizers=optimizers)
    assert isinstance(figure.prepared, DifferenceMap)
    return figure.prepared


def with_holes() -> pd.DataFrame:
    scores = noisy_scores(5)
    scores["sam"][2, 3, 1] = np.nan
    frame = frame_of(scores)
    frame.loc[(frame["optimizer"] == "msam") & (frame["rho"] == 10.0) & (frame["lr"] == 0.01), "status"] = "missing"
    return frame


class TestPrepared:
    @pytest.mark.parametrize("n_seeds", [2, 5, 10])
    def test_every_cell_by_brute_force(self, n_seeds: int) -> None:
        scores = noisy_scores(n_seeds)
        drawn = shown(frame_of(scores))
        assert [(panel.first, panel.second) for panel in drawn.panels] == [
            ("msam", "sam"),
            ("msam", "gd"),
            ("sam", "gd"),
        ]
        weights = weights_for(n_seeds)
        for panel in drawn.panels:
            for (row, _), (column, _) in itertools.product(enumerate(LRS), enumerate(RHOS)):
                first, second = (
                    scores[name][row] if name == "gd" else scores[name][row, column]
                    for name in (panel.first, panel.second)
                )
                pairs = first - second
                assert panel.mean[row, column] == pytest.approx(pairs.mean())
                if weights is None:
                    low, high = stats.ttest_1samp(pairs, 0.0).confidence_interval(0.95)
                else:
                    band = band_of(pairs[:, None], weights)
                    assert band is not None
                    low, high = band.low[0], band.high[0]
                assert panel.low[row, column] == pytest.approx(low)
                assert panel.high[row, column] == pytest.approx(high)
                assert panel.above[row, column] == (low > 0)
                assert panel.below[row, column] == (high < 0)

    def test_optimizers_that_are_named_are_subtracted_in_that_order(self) -> None:
        one, other = (shown(frame_of(noisy_scores(3)), *order).panels for order in (("gd", "sam"), ("sam", "gd")))
        assert (one[0].first, one[0].second) == ("gd", "sam")
        np.testing.assert_allclose(one[0].mean, -other[0].mean)
        np.testing.assert_array_equal(one[0].above, other[0].below)

    def test_a_diverged_run_scores_the_floor_and_a_missing_one_leaves_a_hole(self) -> None:
        frame, scores = with_holes(), noisy_scores(5)
        scores["sam"][2, 3, 1] = ACCURACY.floor
        (panel,) = shown(frame, "msam", "sam").panels
        assert np.argwhere(panel.no_result).tolist() == [[0, 3]]
        assert panel.mean[2, 3] == pytest.approx((scores["msam"] - scores["sam"])[2, 3].mean())
        assert not panel.above[0, 3]
        assert not panel.below[0, 3]

    def test_a_minimised_metric_is_subtracted_in_raw_units(self) -> None:
        scoring = TaskScoring("digits", "accuracy", "minimize", 0.05, 2.0)
        scores = {"sam": np.full((3, 4, 2), 0.5), "msam": np.full((3, 4, 2), 0.7)}
        drawn = shown(frame_of(scores, scoring=scoring), "msam", "sam", scoring=scoring)
        np.testing.assert_allclose(drawn.panels[0].mean, 0.2)
        assert "below 0: the first is better" in drawn.bar_title

    def test_colours_are_centred_at_zero(self) -> None:
        drawn = shown(frame_of(noisy_scores(3)))
        assert drawn.limit == max(np.abs(panel.mean).max() for panel in drawn.panels)

    def test_one_seed_marks_nothing_and_says_so(self) -> None:
        drawn = shown(frame_of(noisy_scores(1)))
        assert not any(panel.above.any() or panel.below.any() for panel in drawn.panels)
        assert "No cell is marked: an interval needs two seeds." in drawn.note

    def test_the_same_difference_of_each_of_a_few_seeds_marks_nothing(self) -> None:
        """Scores come in steps: three seeds often differ by the same, and their spread is not known then."""
        scores = noisy_scores(3)
        scores["msam"] = scores["sam"] + 0.01
        scores["msam"][1, 1, 0] += 0.001
        (panel,) = shown(frame_of(scores), "msam", "sam").panels
        assert panel.mean == pytest.approx(np.full((3, 4), 0.01), abs=0.001)
        assert np.argwhere(panel.above).tolist() == [[1, 1]]
        assert np.isnan(panel.low).sum() == 11

    @pytest.mark.parametrize("unit", [1e-12, 1.0])
    def test_marks_do_not_depend_on_the_unit_and_rounding_makes_none(self, unit: float) -> None:
        scores = {name: unit * own for name, own in noisy_scores(5).items()}
        scores["twin"] = scores["sam"] * (1 + 1e-15 * np.arange(5))
        frame, scoring = frame_of(scores), replace(ACCURACY, floor=unit * ACCURACY.floor)
        assert shown(frame, "msam", "sam", scoring=scoring).panels[0].above.sum() == 9
        (twins,) = shown(frame, "twin", "sam", scoring=scoring).panels
        assert not (twins.above | twins.below).any()

    def test_an_optimizer_on_another_grid_is_left_out_and_named(self) -> None:
        scores = noisy_scores(2)
        other = frame_of({"other": scores["sam"]}, rhos=(0.02, 0.2, 2.0, 20.0))
        drawn = shown(pd.concat([frame_of(scores), other], ignore_index=True))
        assert {panel.first for panel in drawn.panels} == {"msam", "sam"}
        assert "Not on the common grid: other." in drawn.note

    def test_further_axes_are_averaged_over(self) -> None:
        parts = []
        for momentum, shift in ((0.0, 0.0), (0.9, 0.1)):
            scores = noisy_scores(2)
            parts.append(frame_of({"sam": scores["sam"] + shift, "msam": scores["msam"]}).assign(momentum=momentum))
        frame = pd.concat(parts, ignore_index=True)
        data = FigureData.of_frame(frame, ACCURACY, infer_grids(frame, ACCURACY, ("momentum", "lr", "rho")))
        drawn = figure_of(data, "difference", optimizers=["sam", "msam"]).prepared
        plain = noisy_scores(2)
        expected = (plain["sam"] - plain["msam"]).mean(axis=-1) + 0.05
        np.testing.assert_allclose(drawn.panels[0].mean, expected)
        assert "Averaged over momentum." in drawn.note

    def test_many_pairs_are_cut_and_told(self) -> None:
        rng = np.random.default_rng(0)
        drawn = shown(frame_of({name: rng.uniform(0.4, 0.9, (3, 4, 2)) for name in "abcde"}))
        assert [(panel.first, panel.second) for panel in drawn.panels] == [(name, "a") for name in "edcb"]
        assert "4 of 10 pairs" in drawn.note

    def test_a_single_axis_is_a_strip(self) -> None:
        scores = noisy_scores(2)
        frame = frame_of({"a": scores["gd"], "b": scores["gd"] + 0.1})
        drawn = shown(frame)
        assert drawn.panels[0].mean.shape == (3, 1)
        assert not drawn.x.exists
        runs = frame_of(noisy_scores(2))
        strip = shown(runs[(runs["lr"] == 0.1) & (runs["optimizer"] != "gd")])
        assert strip.panels[0].mean.shape == (1, 4)


class TestRefused:
    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (frame_of({"sam": noisy_scores(2)["sam"]}), "but digits has none: only sam can be placed on it"),
            (
                pd.concat(
                    [
                        frame_of({"sam": noisy_scores(2)["sam"]}),
                        frame_of({"msam": noisy_scores(2)["sam"]}, rhos=(0.02, 0.2, 2.0, 20.0)),
                    ]
                ),
                "no values of rho are shared by most optimizers",
            ),
        ],
    )
    def test_no_common_grid(self, frame: pd.DataFrame, message: str) -> None:
        with pytest.raises(TableError, match=message):
            shown(frame)


class TestDrawn:
    @pytest.mark.parametrize(("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
    def test_the_same_bytes_twice(self, image_format: Any, start: bytes) -> None:
        figure = figure_of(FigureData.of_frame(with_holes(), ACCURACY), "difference")
        image = figure.image(image_format, dpi=60)
        assert image.startswith(start)
        assert image == figure.image(image_format, dpi=60)

    def test_texts(self) -> None:
        svg = figure_of(FigureData.of_frame(with_holes(), ACCURACY), "difference").image().decode()
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
        assert {"msam \N{MINUS SIGN} sam", "no result", "first above second", "first below second"} <= set(texts)

    def test_plotly(self) -> None:
        figure = figure_of(FigureData.of_frame(with_holes(), ACCURACY), "difference")
        document = figure.plotly()
        json.dumps(document, allow_nan=False)
        maps = [trace for trace in document["data"] if trace["type"] == "heatmap"]
        assert [len(maps), len(maps[0]["z"]), len(maps[0]["z"][0])] == [3, 3, 4]
        assert maps[0]["z"][0][3] is None
        axis = document["layout"]["coloraxis"]
        assert axis["cmin"] == -axis["cmax"]
        marks = [trace["marker"] | {"n": len(trace["x"])} for trace in document["data"] if trace["type"] == "scatter"]
        marked = sum(one["n"] for one in marks if (one["symbol"], one["color"]) == ("cross-thin-open", MARK))
        assert marked == sum(int(panel.above.sum()) for panel in figure.prepared.panels)

    @pytest.mark.parametrize("value", [0.5, np.nan])
    def test_no_difference_at_all(self, value: float) -> None:
        frame = frame_of({name: np.full((3, 4, 2), value) for name in ("sam", "msam")})
        figure = figure_of(FigureData.of_frame(frame, replace(ACCURACY)), "difference")
        assert figure.image()
        json.dumps(figure.plotly(), allow_nan=False)

    def test_a_large_map_holds_its_cells_as_pixels(self) -> None:
        rng = np.random.default_rng(0)
        lrs, rhos = np.geomspace(0.01, 1, 51).tolist(), np.geomspace(0.01, 1, 52).tolist()
        frame = frame_of({name: rng.uniform(0.4, 0.9, (51, 52, 2)) for name in ("a", "b")}, lrs=lrs, rhos=rhos)
        assert b"<image" in figure_of(FigureData.of_frame(frame, ACCURACY), "difference").image()
