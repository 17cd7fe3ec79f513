"""Trajectories: what is prepared from the records, and the structure of the picture."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from benchmark import Spec
from benchmark.errors import TableError
from benchmark.execution import train_cell
from benchmark.figures import (
    matplotlib_trajectories,
    plotly_trajectories,
    prepare_trajectories,
    trajectories_matplotlib,
    trajectories_plotly,
)
from benchmark.records import PackPlace, Record, Status
from benchmark.spec import expand
from tests.benchmark.toys import CPU, document

pytestmark = pytest.mark.slow

PAPER = Path(__file__).parents[3] / "examples" / "paper"
Records = dict[str, Record]


def image_of(spec: Spec, records: Mapping[str, Record], **options: Any) -> bytes:
    return trajectories_matplotlib(prepare_trajectories(spec, records), **options)


def trained(spec: Spec) -> Records:
    return {cell.key: train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60) for cell in expand(spec)}


def small(**changes: Any) -> Spec:
    fitting: dict[str, Any] = {
        "tasks": [{"name": "banana", "params": {"start": "grid", "grid": 2}}],
        "budget": {"epochs": 5, "batch_size": 1},
        "base": {"name": "sgd"},
        "optimizers": [{"name": "gd"}, {"name": "sam", "space": {"rho": {"values": [0.2, 1.0]}}}],
        "space": {"lr": {"values": [0.01]}},
        "seeds": {"count": 4},
    }
    return Spec.from_mapping(document(**{**fitting, **changes}))


@pytest.fixture(scope="module")
def four() -> tuple[Spec, Records]:
    """GD, and SAM with two rho, from the four corners of the box."""
    spec = small()
    return spec, trained(spec)


@pytest.fixture(scope="module")
def figure_1() -> tuple[Spec, Records]:
    spec = Spec.from_file(PAPER / "figure1.yaml")
    return spec, trained(spec)


@pytest.fixture(scope="module")
def figure_3() -> tuple[Spec, Records]:
    spec = Spec.from_file(PAPER / "figure3.yaml")
    return spec, trained(spec)


def changed(records: Mapping[str, Record], number: int, **changes: Any) -> Records:
    """The records with the outcome of one of them changed."""
    key = list(records)[number]
    record = records[key]
    return {**records, key: replace(record, outcome=replace(record.outcome, **changes))}


class TestPrepared:
    def test_configurations_of_one_seed_share_a_panel(self, figure_1: tuple[Spec, Records]) -> None:
        (panel,) = prepare_trajectories(*figure_1).panels
        assert [(group.title, group.style) for group in panel.groups] == [("gd", 0), ("sam", 1), ("msam", 2)]
        for group, record in zip(panel.groups, figure_1[1].values(), strict=True):
            (run,) = group.runs
            assert run.points.shape == (201, 2)
            assert run.points[0].tolist() == [-1.5, 0.5]
            assert run.points[1:, 1].tolist() == list(record.outcome.curve["theta_1"])

    def test_else_each_has_its_own_in_the_column_of_its_optimizer(self, four: tuple[Spec, Records]) -> None:
        panels = prepare_trajectories(*four).panels
        assert [(panel.title, panel.row, panel.column) for panel in panels] == [
            ("gd", 0, 0),
            ("sam, \N{GREEK SMALL LETTER RHO} 0.2", 0, 1),
            ("sam, \N{GREEK SMALL LETTER RHO} 1", 1, 1),
        ]
        for panel in panels:
            starts = [run.points[0].tolist() for run in panel.groups[0].runs]
            assert starts == [[-3, -3], [-3, 3], [3, -3], [3, 3]]

    def test_a_learning_rate_has_a_panel_in_one_dimension(self, figure_3: tuple[Spec, Records]) -> None:
        shown = prepare_trajectories(*figure_3)
        assert [panel.title for panel in shown.panels] == ["learning rate 0.66", "learning rate 0.74"]
        for panel in shown.panels:
            assert [(group.title, group.style) for group in panel.groups] == [("gd", 0), ("sam", 1), ("msam", 2)]
        ends = [float(shown.heights(group.runs[0].points)[-1]) for group in shown.panels[1].groups]
        assert ends == pytest.approx([0.0, 0.7291, 0.3198], abs=6e-5)

    def test_the_view_is_square_and_holds_what_is_near_the_box(self, four: tuple[Spec, Records]) -> None:
        shown = prepare_trajectories(*four)
        span = shown.high - shown.low
        assert span[0] == pytest.approx(span[1])
        assert (shown.low < -3).all()
        far = tuple([1e8] * 5)
        record = next(iter(four[1].values()))
        gone = prepare_trajectories(four[0], changed(four[1], 0, curve={**record.outcome.curve, "theta_0": far}))
        assert (gone.high <= 7).all()

    def test_a_run_is_cut_where_it_stops_being_finite(self, four: tuple[Spec, Records]) -> None:
        curve = {"step": (1.0, 2.0, 3.0), "theta_0": (1.0, 2.0, np.nan), "theta_1": (1.0, np.inf, 3.0)}
        diverged = {"status": Status.DIVERGED, "diverged_at_step": 4, "metrics": {}}
        records = changed(changed(four[1], 1, curve=curve, **diverged), 2, curve={"step": ()}, **diverged)
        runs = prepare_trajectories(four[0], records).panels[0].groups[0].runs
        assert [run.has_diverged for run in runs] == [False, True, True, False]
        assert runs[1].points.tolist() == [[-3, 3], [1, 1]]
        assert runs[2].points.tolist() == [[3, -3]]
        assert b">diverged<" in image_of(four[0], records)

    def test_what_has_no_record_or_failed_is_left_out(self, four: tuple[Spec, Records]) -> None:
        records = changed(four[1], 0, status=Status.FAILED, metrics={}, curve={})
        del records[list(records)[5]]
        panels = prepare_trajectories(four[0], records).panels
        assert [[run.seed for run in panel.groups[0].runs] for panel in panels] == [[1, 2, 3], [0, 2, 3], [0, 1, 2, 3]]

    def test_the_first_landscape_is_drawn_unless_another_is_named(self) -> None:
        tasks = [{"name": "digits-mlp"}, {"name": "beale"}, {"name": "banana", "label": "valley"}]
        spec = small(tasks=tasks, optimizers=[], seeds={"count": 1})
        records = {
            cell.key: train_cell(cell, PackPlace("p", 1, 0), device=CPU, limit_s=60)
            for cell in expand(spec)
            if cell.task != "digits-mlp"
        }
        assert prepare_trajectories(spec, records).task == "beale"
        assert prepare_trajectories(spec, records, task="valley").task == "valley"
        with pytest.raises(TableError, match="drawn on landscapes, such as banana, but digits-mlp is none"):
            prepare_trajectories(spec, records, task="digits-mlp")
        with pytest.raises(TableError, match="unknown task 'vally'; did you mean 'valley'"):
            prepare_trajectories(spec, records, task="vally")


class TestRefused:
    def test_nothing_recorded(self, four: tuple[Spec, Records]) -> None:
        with pytest.raises(TableError, match="need at least one recorded run, but banana has none"):
            image_of(four[0], {})

    def test_no_landscape(self) -> None:
        with pytest.raises(TableError, match="drawn on landscapes, such as banana, but digits-mlp is none"):
            image_of(Spec.from_mapping(document()), {})

    def test_more_than_two_dimensions(self) -> None:
        spec = small(tasks=[{"name": "parabola", "params": {"dimension": 3}}])
        with pytest.raises(TableError, match="in one or two dimensions, but parabola has 3"):
            image_of(spec, {})

    def test_more_panels_than_there_is_room_for(self) -> None:
        spec = small(space={"lr": {"log": [0.001, 0.01], "n": 9}})
        with pytest.raises(TableError, match="room for 24 panels, but banana needs 27; sweep less"):
            image_of(spec, {})

    def test_an_unknown_format(self, four: tuple[Spec, Records]) -> None:
        with pytest.raises(TableError, match="unknown format 'gif'; known: svg, png, pdf"):
            image_of(*four, image_format="gif")


class TestPicture:
    @pytest.mark.parametrize(("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
    def test_the_same_bytes_twice(self, four: tuple[Spec, Records], image_format: Any, start: bytes) -> None:
        image = image_of(*four, image_format=image_format, dpi=60)
        assert image.startswith(start)
        assert image == image_of(*four, image_format=image_format, dpi=60)

    def test_a_line_a_run(self, four: tuple[Spec, Records]) -> None:
        names = re.findall(r'id="(run-[0-9-]+)"', image_of(*four).decode())
        assert names == [f"run-{panel}-{int(panel > 0)}-{seed}" for panel in range(3) for seed in range(4)]

    def test_texts_of_a_shared_panel(self, figure_1: tuple[Spec, Records]) -> None:
        svg = image_of(*figure_1).decode()
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
        assert texts[-4:] == ["start", "gd", "sam", "msam"]
        assert {"banana", "theta_0", "theta_1"} <= set(texts)
        assert len(re.findall(r'id="run-', svg)) == 3

    def test_texts_in_one_dimension(self, figure_3: tuple[Spec, Records]) -> None:
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", image_of(*figure_3).decode())
        assert {"parabola", "learning rate 0.66", "learning rate 0.74", "loss", "theta_0", "sam"} <= set(texts)

    def test_a_run_that_left_for_infinity_is_drawn(self) -> None:
        spec = small(space={"lr": {"values": [1.0]}})
        records = trained(spec)
        assert any(record.outcome.status is Status.DIVERGED for record in records.values())
        assert b">diverged<" in image_of(spec, records)
        assert image_of(spec, records, image_format="png", dpi=60)

    def test_very_many_points_are_pixels(self, four: tuple[Spec, Records], monkeypatch: pytest.MonkeyPatch) -> None:
        assert b"<image" not in image_of(*four)
        monkeypatch.setattr(matplotlib_trajectories, "MAX_VECTOR_POINTS", 10)
        assert b"<image" in image_of(*four)

    def test_the_global_style_is_left_alone(self, four: tuple[Spec, Records]) -> None:
        before = dict(mpl.rcParams)
        image_of(*four)
        assert dict(mpl.rcParams) == before


class TestPlotly:
    def test_ways_starts_and_ends(self, four: tuple[Spec, Records]) -> None:
        shown = prepare_trajectories(*four)
        figure = trajectories_plotly(shown)
        json.dumps(figure, allow_nan=False)
        assert sum(trace["type"] == "contour" for trace in figure["data"]) == len(shown.panels) == 3
        lines = [trace for trace in figure["data"] if trace.get("mode") == "lines"]
        for line, panel in zip(lines, shown.panels, strict=True):
            points = np.vstack([np.vstack([run.points, [[np.nan] * 2]]) for run in panel.groups[0].runs])
            drawn = np.array([line["x"], line["y"]], dtype=np.float64).T
            np.testing.assert_array_equal(drawn, points)
        marks = [(trace["name"], len(trace["x"])) for trace in figure["data"] if trace.get("mode") == "markers"]
        assert marks == [("start", 4), ("end", 4)] * 3

    def test_one_dimension_has_its_curve(self, figure_3: tuple[Spec, Records]) -> None:
        figure = trajectories_plotly(prepare_trajectories(*figure_3))
        json.dumps(figure, allow_nan=False)
        titles = [note["text"] for note in figure["layout"]["annotations"]]
        assert titles == ["learning rate 0.66", "learning rate 0.74"]
        assert len([trace for trace in figure["data"] if trace.get("mode") == "lines"]) == 2 * (1 + 3)

    def test_a_long_way_is_thinned_and_keeps_its_ends(
        self, figure_1: tuple[Spec, Records], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plotly_trajectories, "MAX_POINTS", 50)
        shown = prepare_trajectories(*figure_1)
        lines = [trace for trace in trajectories_plotly(shown)["data"] if trace.get("mode") == "lines"]
        for line, group in zip(lines, shown.panels[0].groups, strict=True):
            assert len(line["x"]) <= 53
            assert (line["x"][0], line["x"][-2]) == (group.runs[0].points[0, 0], group.runs[0].points[-1, 0])

    def test_a_run_that_left_for_infinity_is_drawn(self) -> None:
        spec = small(space={"lr": {"values": [1.0]}})
        figure = trajectories_plotly(prepare_trajectories(spec, trained(spec)))
        json.dumps(figure, allow_nan=False)
        assert any(trace.get("name") == "diverged" for trace in figure["data"])
