"""Heat maps of searches that are no grid: what is prepared of their points, and what the two libraries make of it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.figures import prepare_heatmap
from benchmark.figures.axes import figure_axis
from benchmark.robustness import AxisInfo, GridInfo
from benchmark.surface import surfaces
from tests.benchmark.figures.drawing import image_of, web_of
from tests.benchmark.robustness.runs import ACCURACY, frame_of

pytestmark = pytest.mark.slow

Surface = dict[str, Any]
SCALES = {"lr": "log", "rho": "log", "momentum": "linear"}
PLACES = [{"lr": 0.3, "rho": 0.2}, {"lr": 0.1, "rho": 0.5}, {"lr": 0.7, "rho": 0.05}, {"lr": 0.02, "rho": 0.9}]
MEANS = [0.9, 0.6, 0.1, None]


def surface(
    places: Sequence[Mapping[str, float]],
    means: Sequence[float | None],
    *,
    optimizer: str = "sam",
    design: str = "random",
    **counts: Sequence[int],
) -> Surface:
    """Return a surface of two seeds, by hand; a point without a mean has no result, and counts are 0 if not given."""
    names = list(places[0])
    columns = {"n_diverged": [0] * len(means), "n_collapsed": [0] * len(means)} | counts
    columns["n_missing"] = [2 if mean is None else 0 for mean in means]
    statuses = ["missing" if mean is None else "completed" for mean in means]
    points = [
        {"hyperparameters": dict(place), "mean": mean, "per_seed": [mean] * 2}
        | {"status_per_seed": [statuses[number]] * 2}
        | {name: column[number] for name, column in columns.items()}
        for number, (place, mean) in enumerate(zip(places, means, strict=True))
    ]
    axes = [
        {"name": name, "scale": SCALES[name], "values": sorted({place[name] for place in places})} for name in names
    ]
    shared = {"task": "digits", "metric": "accuracy", "goal": "maximize", "split": "test", "seeds": [0, 1]}
    return shared | {"optimizer": optimizer, "design": design, "axes": axes, "points": points}


def marked() -> Surface:
    """A surface with every mark: the second point is collapsed and diverged for one seed, the third diverged."""
    return surface(PLACES, MEANS, n_diverged=[0, 1, 2, 0], n_collapsed=[0, 1, 0, 0])


def empty(optimizer: str = "asam", names: Sequence[str] = ("lr", "rho")) -> Surface:
    """The surface of an adaptive search that has not begun: its axes have two ends and no point."""
    axes = [{"name": name, "scale": SCALES[name], "values": [0.01, 1.0]} for name in names]
    return {**surface(PLACES, MEANS, optimizer=optimizer, design="tpe"), "axes": axes, "points": [], "seeds": []}


def one_axis(optimizer: str = "gd") -> Surface:
    return surface([{"lr": place["lr"]} for place in PLACES], MEANS, optimizer=optimizer)


def three_axes() -> Surface:
    places = [place | {"momentum": 0.1 * number} for number, place in enumerate(PLACES)]
    return surface(places, MEANS, optimizer="msam", design="tpe")


def a_grid() -> Surface:
    (found,) = surfaces(frame_of({"grid": np.full((3, 4, 1), 0.5)}), ACCURACY)
    return found


FIGURES: dict[str, list[Surface]] = {
    "every mark": [marked()],
    "one point": [surface(PLACES[:1], MEANS[:1])],
    "all diverged": [surface(PLACES, [0.1] * 4, n_diverged=[2] * 4)],
    "no result": [surface(PLACES, [None] * 4)],
    "one axis": [one_axis(), surface(PLACES, MEANS)],
    "only one axis": [one_axis()],
    "no axis": [surface([{}], [0.9])],
    "three axes": [three_axes()],
    "mixed designs": [a_grid(), one_axis(), three_axes(), surface(PLACES, MEANS, design="sobol"), empty()],
    "an empty search": [empty()],
    "empty searches": [empty("gd", ["lr"]), empty(), empty("plain", [])],
    "many points": [surface([{"lr": 0.1 + n, "rho": 1.0 + n % 50} for n in range(3_000)], [0.5] * 3_000)],
}


class TestAxis:
    def test_designs_share_a_range_with_a_margin(self) -> None:
        own = [{"name": "lr", "scale": "log", "values": [0.03, 0.1]}]
        other = [
            {"name": "lr", "scale": "log", "values": [0.001, 0.02]},
            {"name": "rho", "scale": "log", "values": [9]},
        ]
        axis = figure_axis(own, "lr", own + other)
        np.testing.assert_allclose(np.log10(axis.edges), [-3.1, -0.9])
        assert [text for _, text in axis.ticks()] == ["0.001", "0.01", "0.1"]

    @pytest.mark.parametrize(
        ("scale", "values", "is_log", "texts"),
        [
            ("log", [0.012, 0.3], True, ["0.02", "0.05", "0.1", "0.2"]),
            ("log", [0.12, 0.19], True, ["0.12", "0.14", "0.16", "0.18"]),
            ("log", [0.3], True, ["0.3"]),
            ("linear", [0.003, 0.98], False, ["0.25", "0.5", "0.75"]),
            ("linear", [0.0], False, ["0"]),
            ("values", [0.01, 0.1], True, ["0.01", "0.1"]),
            ("values", [0.0, 0.9], False, ["0", "0.25", "0.5", "0.75"]),
        ],
    )
    def test_scales_and_ticks_of_a_design(
        self, scale: str, values: list[float], is_log: bool, texts: list[str]
    ) -> None:
        axes = [{"name": "x", "scale": scale, "values": values}]
        axis = figure_axis(axes, "x", axes)
        assert axis.is_log == is_log
        assert [text for _, text in axis.ticks()] == texts
        assert axis.edges[0] < values[0] <= values[-1] < axis.edges[-1]


class TestPrepared:
    def test_points_stay_in_their_order_with_their_marks(self) -> None:
        (panel,) = prepare_heatmap([marked()], ACCURACY).panels
        assert not panel.is_grid
        assert panel.xs.tolist() == [0.2, 0.5, 0.05, 0.9]
        assert panel.ys.tolist() == [0.3, 0.1, 0.7, 0.02]
        assert (panel.x.name, panel.x.is_log, panel.y.name, panel.y.is_log) == ("rho", True, "lr", True)
        np.testing.assert_array_equal(panel.mean, [0.9, 0.6, 0.1, np.nan])
        assert panel.some_diverged.tolist() == [False, True, False, False]
        assert panel.all_diverged.tolist() == [False, False, True, False]
        assert panel.no_result.tolist() == [False, False, False, True]
        assert panel.good.tolist() == panel.best.tolist() == [True, False, False, False]

    def test_the_selection_chooses_best_and_good_points(self) -> None:
        selection = surface(PLACES, [0.5, 0.88, 0.9, None])
        (panel,) = prepare_heatmap([surface(PLACES, MEANS)], ACCURACY, selection=[selection]).panels
        assert panel.good.tolist() == [False, True, True, False]
        assert panel.best.tolist() == [False, False, True, False]

    def test_a_selection_of_other_points_is_refused(self) -> None:
        with pytest.raises(TableError, match="must have the same configurations, but that of sam has not"):
            prepare_heatmap([surface(PLACES, MEANS)], ACCURACY, selection=[surface(PLACES[::-1], MEANS)])

    def test_without_rho_there_is_one_column(self) -> None:
        gd, sam = prepare_heatmap(FIGURES["one axis"], ACCURACY).panels
        assert gd.x.title == "no \N{GREEK SMALL LETTER RHO}"
        assert gd.xs.tolist() == [0.0] * 4
        assert gd.ys.tolist() == sam.ys.tolist()
        assert gd.y.edges.tolist() == sam.y.edges.tolist()

    def test_further_axes_are_projected_and_told(self) -> None:
        (panel,) = prepare_heatmap([three_axes()], ACCURACY).panels
        assert panel.title == "msam (any momentum)"
        assert panel.further["momentum"].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
        assert len(panel.xs) == 4
        without_rho = [{"lr": place["lr"], "momentum": 0.9} for place in PLACES]
        gd = prepare_heatmap([surface(without_rho, MEANS, optimizer="gd"), three_axes()], ACCURACY).panels[0]
        assert gd.title == "gd\n(any momentum)"

    def test_colours_are_shared_by_grids_and_designs(self) -> None:
        heatmap = prepare_heatmap([a_grid(), marked()], ACCURACY)
        assert [panel.is_grid for panel in heatmap.panels] == [True, False]
        assert (heatmap.low, heatmap.high) == (0.1, 0.9)
        assert not heatmap.panels[0].good.any(), "the reference is of all panels"

    def test_an_adaptive_search_is_read_off_its_runs(self) -> None:
        rows = [
            {"task": "digits", "optimizer": "sam", "seed": 0, "test_accuracy": mean or 0.3, "val_accuracy": mean or 0.3}
            | place
            for place, mean in zip(PLACES, MEANS, strict=True)
        ]
        axes = tuple(AxisInfo(name, "log", (0.01, 1.0)) for name in ("lr", "rho"))
        grid = GridInfo("digits", "sam", axes, "tpe", n_planned=4)
        (panel,) = prepare_heatmap(surfaces(pd.DataFrame(rows), ACCURACY, [grid]), ACCURACY).panels
        assert panel.xs.tolist() == [place["rho"] for place in PLACES]
        (panel,) = prepare_heatmap(surfaces(pd.DataFrame(rows).iloc[:0], ACCURACY, [grid]), ACCURACY).panels
        assert panel.mean.shape == (0,)
        assert panel.y.exists


class TestPlotly:
    def test_dots_tell_their_story(self) -> None:
        figure = web_of([marked()], ACCURACY)
        dots = figure["data"][0]
        assert (dots["x"], dots["y"]) == ([0.2, 0.5, 0.05, 0.9], [0.3, 0.1, 0.7, 0.02])
        assert dots["marker"]["coloraxis"] == "coloraxis"
        assert dots["marker"]["color"] == [0.9, 0.6, 0.1, "#ffffff"]
        assert dots["text"][1] == (
            "configuration 2<br>\N{GREEK SMALL LETTER RHO} 0.5<br>learning rate 0.1<br>test accuracy 0.6"
            "<br>1 of 2 seeds diverged<br>1 of 2 seeds collapsed<br>seed 0: 0.6<br>seed 1: 0.6"
        )
        assert "no result<br>2 of 2 seeds missing<br>" in dots["text"][3]

    def test_marks_are_where_their_points_are(self) -> None:
        traces = {trace["name"]: trace for trace in web_of([marked()], ACCURACY)["data"] if "name" in trace}
        assert {name: list(zip(trace["x"], trace["y"], strict=True)) for name, trace in traces.items()} == {
            "within the tolerance": [(0.2, 0.3)],
            "best": [(0.2, 0.3)],
            "some seeds diverged": [(0.5, 0.1)],
            "collapsed seeds": [(0.5, 0.1)],
            "diverged": [(0.05, 0.7)],
            "no result": [(0.9, 0.02)],
        }

    def test_projected_hyperparameters_are_told(self) -> None:
        dots = web_of([three_axes()], ACCURACY)["data"][0]
        assert "momentum 0.2<br>" in dots["text"][2]

    def test_every_panel_is_drawn_as_what_it_is(self) -> None:
        figure = web_of(FIGURES["mixed designs"], ACCURACY)
        kinds: dict[str, str] = {}
        for trace in figure["data"]:
            kinds.setdefault(trace["xaxis"], trace["type"])
        assert list(kinds.values()) == ["heatmap"] + ["scatter"] * 4
        assert "no<br>points<br>yet" in {note["text"] for note in figure["layout"]["annotations"]}
        assert figure["layout"]["yaxis"]["range"] == figure["layout"]["yaxis2"]["range"], "panels share their axes"
        assert figure["layout"]["yaxis2"]["range"] == figure["layout"]["yaxis4"]["range"]


class TestMatplotlib:
    def test_texts_of_the_picture(self) -> None:
        svg = image_of([marked(), one_axis(), three_axes(), empty()], ACCURACY).decode()
        texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
        legend = {
            "best",
            "diverged",
            "some seeds diverged",
            "collapsed seeds",
            "no result",
            "within 0.05 of the reference",
        }
        assert legend | {"gd", "msam (any momentum)", "points"} <= texts

    def test_many_points_are_pixels(self) -> None:
        assert b"<image" in image_of(FIGURES["many points"], ACCURACY)


@pytest.mark.parametrize("name", FIGURES)
def test_all_are_drawn_alike_each_time(name: str) -> None:
    figure = web_of(FIGURES[name], ACCURACY)
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure
    formats = ("svg", "png", "pdf") if name == "mixed designs" else ("svg",)
    for image_format in formats:
        image = image_of(FIGURES[name], ACCURACY, image_format=image_format)
        assert image == image_of(FIGURES[name], ACCURACY, image_format=image_format)
