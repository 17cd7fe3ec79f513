"""Figures of lines, by their structure."""

import json

import numpy as np
import pytest

from benchmark.errors import TableError
from benchmark.figures.lines import Line, LineFigure, LinePanel
from benchmark.figures.matplotlib_lines import lines_matplotlib
from benchmark.figures.plotly_lines import lines_plotly
from benchmark.figures.profiles import prepare_profiles
from benchmark.figures.styles import STYLES, style_of
from benchmark.robustness.profiles import performance_profiles
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores

pytestmark = pytest.mark.slow

X = np.array([0.01, 0.1, 1.0])
FIGURE = LineFigure(
    "Slices",
    (
        LinePanel(
            "at the best lr",
            "rho",
            "accuracy",
            (
                Line("gd <b>", 0, X, np.array([0.5, np.nan, 0.7])),
                Line("sam", 1, X, np.array([0.6, 0.7, 0.8]), np.array([0.5, 0.6, 0.7]), np.array([0.7, 0.8, 0.9])),
            ),
            is_log=True,
        ),
        LinePanel("at the best rho", "lr", "accuracy", (Line("sam", 1, X, np.array([0.1, 0.2, 0.3])),)),
    ),
    "Bands: pointwise $t$.",
)


def test_panels_with_the_same_measure_share_its_range() -> None:
    low, high = FIGURE.y_range(FIGURE.panels[0])
    assert (low, high) == FIGURE.y_range(FIGURE.panels[1])
    assert low < 0.1
    assert high > 0.9
    empty = LineFigure("", (LinePanel("", "", "", (Line("gd", 0, X, np.full(3, np.nan)),)),))
    assert empty.y_range(empty.panels[0]) == (0.0, 1.0)


def test_the_svg_tells_labels_and_note_literally() -> None:
    svg = lines_matplotlib(FIGURE).decode()
    for text in ("gd &lt;b&gt;", "sam", "Bands: pointwise $t$.", "at the best rho"):
        assert text in svg
    assert svg.count(">sam<") == 1, "one entry of the legend for all panels"
    assert lines_matplotlib(FIGURE).decode() == svg


def test_other_formats_and_unknown_ones() -> None:
    assert lines_matplotlib(FIGURE, image_format="png").startswith(b"\x89PNG")
    assert lines_matplotlib(FIGURE, image_format="pdf").startswith(b"%PDF")
    with pytest.raises(TableError, match="unknown format 'gif'; known: svg, png, pdf"):
        lines_matplotlib(FIGURE, image_format="gif")  # type: ignore[arg-type]  # what a caller without types may pass


def test_plotly_draws_the_same() -> None:
    document = lines_plotly(FIGURE)
    json.dumps(document, allow_nan=False)
    traces = document["data"]
    lines = [trace for trace in traces if trace.get("name") in ("gd &lt;b&gt;", "sam")]
    assert [trace["y"] for trace in lines] == [[0.5, None, 0.7], [0.6, 0.7, 0.8], [0.1, 0.2, 0.3]]
    bands = [trace for trace in traces if trace.get("fill") == "toself"]
    assert [trace["y"] for trace in bands] == [[0.5, 0.6, 0.7, 0.9, 0.8, 0.7]]
    assert [trace["showlegend"] for trace in lines] == [True, True, False]
    assert document["layout"]["xaxis"]["type"] == "log"
    assert document["layout"]["xaxis2"]["type"] == "linear"


def test_looks_differ_until_they_run_out() -> None:
    assert len({(style.colour, style.marker, style.dashes) for style in STYLES}) == len(STYLES) >= 7
    assert style_of(len(STYLES)) == style_of(0)


def test_profiles_have_a_line_an_optimizer_and_say_what_the_bands_are() -> None:
    figure = prepare_profiles(performance_profiles(frame_of(noisy_scores(10)), ACCURACY))
    (panel,) = figure.panels
    assert [line.label for line in panel.lines] == ["gd", "sam", "msam"]
    assert [line.style for line in panel.lines] == [0, 1, 2]
    assert all(line.has_band for line in panel.lines)
    assert figure.note.startswith("Bands: pointwise, 95% joint bootstrap over seeds")
    single = prepare_profiles(performance_profiles(frame_of(noisy_scores(1)), ACCURACY))
    assert single.note == "No bands: they need 10 seeds."
    with pytest.raises(TableError, match="needs a complete configuration"):
        prepare_profiles([])
