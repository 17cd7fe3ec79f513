"""Heat maps: what is prepared, and the structure of what the two libraries make of it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.figures import prepare_heatmap
from benchmark.figures.axes import figure_axis
from benchmark.figures.matplotlib_image import INK
from benchmark.robustness import TaskScoring, infer_grids
from benchmark.surface import surfaces
from tests.benchmark.figures.drawing import image_of, web_of
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, noisy_scores

pytestmark = pytest.mark.slow

Surfaces = list[dict[str, Any]]


@pytest.fixture(scope="module")
def shown() -> Surfaces:
    scores = noisy_scores(2)
    scores["sam"][2, 3] = np.nan
    scores["sam"][2, 2, 0] = np.nan
    frame = frame_of(scores)
    frame.loc[(frame["optimizer"] == "msam") & (frame["rho"] == 10.0) & (frame["lr"] == 0.01), "status"] = "missing"
    frame.loc[(frame["optimizer"] == "msam") & (frame["rho"] == 10.0) & (frame["lr"] == 1.0), "collapsed"] = True
    return surfaces(frame, ACCURACY)


class TestAxis:
    def test_edges_are_halfway_on_the_axis_scale(self) -> None:
        axis = figure_axis([{"name": "rho", "scale": "log", "values": [0.01, 0.1, 10.0]}], "rho")
        np.testing.assert_allclose(np.log10(axis.edges), [-2.5, -1.5, 0.0, 2.0], atol=1e-12)
        linear = figure_axis([{"name": "momentum", "scale": "linear", "values": [0.0, 0.5, 1.0]}], "momentum")
        np.testing.assert_allclose(linear.edges, [-0.25, 0.25, 0.75, 1.25])
        assert not linear.is_log

    @pytest.mark.parametrize(
        ("scale", "values", "texts"),
        [
            ("log", [0.001, 0.01, 0.1, 1.0], ["0.001", "0.01", "0.1", "1"]),
            ("log", [0.1, 0.2, 0.3], ["0.1", "0.2", "0.3"]),
            ("values", [0.0, 0.9], ["0", "0.9"]),
            ("log", np.geomspace(1e-9, 1e3, 13).tolist(), ["1e-09", "1e-06", "0.001", "1", "1000"]),
        ],
    )
    def test_ticks(self, scale: str, values: list[float], texts: list[str]) -> None:
        axis = figure_axis([{"name": "lr", "scale": scale, "values": values}], "lr")
        assert [text for _, text in axis.ticks()] == texts


class TestPrepared:
    def test_panels(self, shown: Surfaces) -> None:
        heatmap = prepare_heatmap(shown, ACCURACY)
        assert [panel.optimizer for panel in heatmap.panels] == ["gd", "sam", "msam"]
        gd, sam, msam = heatmap.panels
        assert gd.mean.shape == (len(LRS), 1)
        assert gd.x.title == "no \N{GREEK SMALL LETTER RHO}"
        assert sam.mean.shape == (len(LRS), len(RHOS))
        assert sam.all_diverged.tolist() == [[False] * 4, [False] * 4, [False, False, False, True]]
        assert sam.some_diverged.tolist() == [[False] * 4, [False] * 4, [False, False, True, False]]
        assert msam.no_result.sum() == 1
        assert msam.n_collapsed.sum() == 2

    def test_means_are_where_their_hyperparameters_are(self, shown: Surfaces) -> None:
        panel = prepare_heatmap(shown, ACCURACY).panels[1]
        for point in shown[1]["points"]:
            row = panel.y.values.tolist().index(point["hyperparameters"]["lr"])
            column = panel.x.values.tolist().index(point["hyperparameters"]["rho"])
            assert panel.mean[row, column] == point["mean"]

    def test_panels_of_other_grids_share_their_axes(self) -> None:
        scores = noisy_scores(1)
        frame = pd.concat(
            [frame_of(scores), frame_of({"wide": scores["sam"]}, rhos=(1.0, 10.0, 100.0, 1000.0), lrs=(0.1, 1.0, 10.0))]
        )
        gd, sam, _, wide = prepare_heatmap(surfaces(frame, ACCURACY), ACCURACY).panels
        assert sam.x.span == wide.x.span == (sam.x.edges[0], wide.x.edges[-1])
        assert gd.y.span == sam.y.span == wide.y.span == (sam.y.edges[0], wide.y.edges[-1])
        assert [text for _, text in sam.x.ticks()] == ["0.01", "1", "100"]
        assert not np.array_equal(sam.x.edges, wide.x.edges), "each has its own cells"

    def test_colours_are_shared_and_cut_at_the_floor(self, shown: Surfaces) -> None:
        heatmap = prepare_heatmap(shown, ACCURACY)
        means = [point["mean"] for surface in shown for point in surface["points"] if point["mean"] is not None]
        assert (heatmap.low, heatmap.high) == (min(means), max(means))
        assert prepare_heatmap(shown, replace(ACCURACY, floor=0.5)).low == 0.5

    def test_best_and_good_cells_are_chosen_by_the_selection(self) -> None:
        test = {"sam": np.array([[[0.5], [0.9], [0.2], [0.2]]])}
        validation = {"sam": np.array([[[0.9], [0.5], [0.87], [0.2]]])}
        frame = frame_of(test, validation=validation, lrs=(0.1,))
        panel = prepare_heatmap(
            surfaces(frame, ACCURACY), ACCURACY, selection=surfaces(frame, ACCURACY, split="validation")
        ).panels[0]
        assert np.argwhere(panel.best).tolist() == [[0, 0]]
        assert panel.good.tolist() == [[True, False, True, False]]
        assert panel.mean.tolist() == [[0.5, 0.9, 0.2, 0.2]]

    def test_nothing_is_good_where_nothing_was_learned(self) -> None:
        frame = frame_of({"sam": np.full((3, 4, 1), np.nan)})
        assert not prepare_heatmap(surfaces(frame, ACCURACY), ACCURACY).panels[0].good.any()

    def test_outline_goes_around_the_good_cells(self) -> None:
        scores = {"sam": np.array([[[0.9], [0.9], [0.2], [0.2]], [[0.2], [0.9], [0.2], [0.2]]])}
        panel = prepare_heatmap(surfaces(frame_of(scores, lrs=(0.1, 1.0)), ACCURACY), ACCURACY).panels[0]
        assert panel.good.sum() == 3
        assert len(panel.outline()) == 8

    def test_further_axes_are_cut_at_the_best(self) -> None:
        scores = noisy_scores(1)["sam"]
        frame = pd.concat(
            [
                frame_of({"sam": scores + shift}).assign(momentum=momentum)
                for momentum, shift in ((0.0, 0.0), (0.9, 0.05))
            ]
        )
        grids = infer_grids(frame, ACCURACY, ["momentum", "rho", "lr"])
        panel = prepare_heatmap(surfaces(frame, ACCURACY, grids), ACCURACY).panels[0]
        assert panel.title == "sam (momentum 0.9)"
        np.testing.assert_allclose(panel.mean, scores[..., 0] + 0.05)

    def test_other_names_than_rho_and_lr_are_drawn(self) -> None:
        frame = pd.DataFrame(
            {
                "optimizer": "x",
                "momentum": [0.0, 0.0, 0.9, 0.9],
                "eta": [0.1, 0.2] * 2,
                "accuracy": [0.1, 0.2, 0.3, 0.4],
            }
        )
        panel = prepare_heatmap(
            surfaces(frame, ACCURACY, infer_grids(frame, ACCURACY, ["momentum", "eta"])), ACCURACY
        ).panels[0]
        assert (panel.y.name, panel.x.name) == ("momentum", "eta")
        assert panel.mean.tolist() == [[0.1, 0.2], [0.3, 0.4]]

    def test_what_cannot_be_drawn_is_refused(self, shown: Surfaces) -> None:
        with pytest.raises(TableError, match="a heat map needs a surface, but there is none of other"):
            prepare_heatmap(shown, replace(ACCURACY, task="other"))
        with pytest.raises(
            TableError, match="the selection must have the same configurations, but that of sam has not"
        ):
            prepare_heatmap(shown, ACCURACY, selection=[shown[0], shown[2]])


class TestPlotly:
    def test_structure(self, shown: Surfaces) -> None:
        figure = web_of(shown, ACCURACY)
        assert json.loads(json.dumps(figure, allow_nan=False)) == figure
        maps = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
        assert [len(trace["x"]) - 1 for trace in maps] == [1, 4, 4]
        assert all(trace["coloraxis"] == "coloraxis" for trace in maps)
        assert maps[2]["z"][0][3] is None
        assert figure["layout"]["coloraxis"]["colorscale"]
        assert {"log"} == {figure["layout"][name]["type"] for name in ("xaxis2", "xaxis3", "yaxis", "yaxis2")}
        assert figure["layout"]["xaxis2"]["range"] == pytest.approx([-2.5, 1.5])
        named = {trace["name"] for trace in figure["data"] if trace.get("showlegend")}
        assert named == {
            "best",
            "within the tolerance",
            "diverged",
            "some seeds diverged",
            "collapsed seeds",
            "no result",
        }

    def test_a_cell_tells_its_story(self, shown: Surfaces) -> None:
        maps = [trace for trace in web_of(shown, ACCURACY)["data"] if trace["type"] == "heatmap"]
        diverged = "test accuracy 0.1<br>2 of 2 seeds diverged<br>seed 0: 0.1, diverged<br>seed 1: 0.1, diverged"
        assert maps[1]["text"][2][3].endswith(diverged)
        missing = "no result<br>2 of 2 seeds missing<br>seed 0: missing<br>seed 1: missing"
        assert maps[2]["text"][0][3].endswith(missing)

    def test_a_cell_says_which_runs_it_is_of(self, shown: Surfaces) -> None:
        maps = [trace for trace in web_of(shown, ACCURACY)["data"] if trace["type"] == "heatmap"]
        assert [trace["meta"] for trace in maps] == [
            {"task": "digits", "optimizer": optimizer} for optimizer in ("gd", "sam", "msam")
        ]
        point = shown[1]["points"][-1]["hyperparameters"]
        places = dict(one.split("=") for one in maps[1]["customdata"][-1][-1])
        assert {name: float(value) for name, value in places.items()} == point, "to the last digit"
        assert [one.split("=")[0] for one in maps[0]["customdata"][0][0]] == ["lr"]

    @pytest.mark.parametrize(("n", "n_told", "n_lines"), [(10, 10, 10), (12, 12, 4), (32, 30, 10)])
    def test_each_of_many_seeds_is_told_in_few_lines(self, n: int, n_told: int, n_lines: int) -> None:
        shown = surfaces(frame_of({"sam": noisy_scores(n)["sam"]}), ACCURACY)
        text = web_of(shown, ACCURACY)["data"][0]["text"][0][0]
        lines = [line for line in text.split("<br>") if line.startswith("seed ")]
        told = [one.split(": ") for line in lines for one in line.split(" · ")]
        assert len(lines) == n_lines
        scores = shown[0]["points"][0]["per_seed"]
        assert told == [[f"seed {seed}", f"{score:.4g}"] for seed, score in enumerate(scores[:n_told])]
        assert text.endswith(f"and {n - n_told} seeds more") == (n > n_told)

    def test_diverged_cells_are_hatched_within_their_borders(self, shown: Surfaces) -> None:
        figure = web_of(shown, ACCURACY)
        panel = prepare_heatmap(shown, ACCURACY).panels[1]
        strokes = [trace for trace in figure["data"] if trace.get("legendgroup") == "diverged" and "line" in trace]
        hatches = [trace for trace in strokes if trace["xaxis"] == "x2" and trace["line"]["color"] == INK]
        xs = [x for trace in hatches for x in trace["x"] if x is not None]
        ys = [y for trace in hatches for y in trace["y"] if y is not None]
        assert len(xs) == 4 * panel.all_diverged.sum(), "two strokes over each"
        columns, rows = np.searchsorted(panel.x.edges, xs) - 1, np.searchsorted(panel.y.edges, ys) - 1
        assert panel.all_diverged[rows, columns].all()

    def test_bright_is_better_for_a_loss_too(self) -> None:
        scoring = TaskScoring("digits", "loss", "minimize", 0.1, 2.0)
        frame = frame_of({"sam": noisy_scores(1)["sam"]}, scoring=scoring)
        assert web_of(surfaces(frame, scoring), scoring)["layout"]["coloraxis"]["reversescale"]

    def test_labels_are_no_html(self) -> None:
        frame = frame_of({"<a href='x'>": noisy_scores(1)["sam"]})
        web = web_of(surfaces(frame, ACCURACY), ACCURACY)
        assert web["data"][0].pop("meta")["optimizer"] == "<a href='x'>", "for requests; Plotly never shows it"
        text = json.dumps(web)
        assert "<a" not in text
        assert "&lt;a" in text


class TestMatplotlib:
    @pytest.mark.parametrize(("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
    def test_formats(self, shown: Surfaces, image_format: Any, start: bytes) -> None:
        image = image_of(shown, ACCURACY, image_format=image_format)
        assert image.startswith(start)
        assert image == image_of(shown, ACCURACY, image_format=image_format)

    def test_texts_of_the_picture(self, shown: Surfaces) -> None:
        svg = image_of(shown, ACCURACY).decode()
        texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
        wanted = {"gd", "sam", "msam", "learning rate", "digits: test accuracy", "test accuracy (higher is better)"}
        legend = {
            "best",
            "diverged",
            "some seeds diverged",
            "collapsed seeds",
            "no result",
            "within 0.05 of the reference",
        }
        assert wanted | legend <= texts

    def test_labels_are_no_mathematics(self) -> None:
        frame = frame_of({"$\\frac{$": noisy_scores(1)["sam"]})
        assert b"\\frac{" in image_of(surfaces(frame, ACCURACY), ACCURACY)

    def test_an_unknown_format_is_refused(self, shown: Surfaces) -> None:
        with pytest.raises(TableError, match="unknown format 'gif'; known: svg, png, pdf"):
            image_of(shown, ACCURACY, image_format="gif")

    def test_the_global_style_is_left_alone(self, shown: Surfaces) -> None:
        before = dict(mpl.rcParams)
        image_of(shown, ACCURACY)
        assert dict(mpl.rcParams) == before

    def test_threads_may_draw_at_once(self, shown: Surfaces) -> None:
        with ThreadPoolExecutor(4) as pool:
            images = set(pool.map(lambda _: image_of(shown, ACCURACY), range(4)))
        assert len(images) == 1

    def test_large_grids_are_pixels(self) -> None:
        lrs, rhos = np.geomspace(1e-3, 1, 60).tolist(), np.geomspace(1e-3, 1, 60).tolist()
        frame = frame_of({"sam": np.random.default_rng(0).random((60, 60, 1))}, lrs=lrs, rhos=rhos)
        assert b"<image" in image_of(surfaces(frame, ACCURACY), ACCURACY)


@pytest.mark.parametrize("score", [0.5, np.nan, 0.1])
def test_surfaces_without_contrast_are_drawn(score: float) -> None:
    shown = surfaces(frame_of({"sam": np.full((3, 4, 1), score), "gd": np.full((3, 1), score)}), ACCURACY)
    heatmap = prepare_heatmap(shown, ACCURACY)
    assert heatmap.low < heatmap.high
    assert image_of(shown, ACCURACY)
    json.dumps(web_of(shown, ACCURACY), allow_nan=False)


def test_a_job_that_has_not_begun_is_drawn() -> None:
    frame = frame_of({"sam": noisy_scores(1)["sam"]}).assign(status="missing")
    shown = surfaces(frame, ACCURACY)
    assert not prepare_heatmap(shown, ACCURACY).panels[0].best.any()
    assert image_of(shown, ACCURACY)
    json.dumps(web_of(shown, ACCURACY), allow_nan=False)
