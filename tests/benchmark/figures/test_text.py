"""Titles and legends stay in the picture, whatever the labels are."""

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.matplotlib_text import legend_below, wrapped

LONG = "a-label-that-somebody-gave-an-optimizer-of-his-own $x$ WWWWWW"


@pytest.mark.parametrize(
    "labels",
    [
        ["gd", "sam", "msam"],
        ["gd", LONG, "msam"],
        [f"{number} {LONG}" for number in range(4)],
        ["diverged", "best", "some seeds diverged", "some seeds missing", "collapsed seeds", "within 0.05 of the rest"],
        [LONG * 3],
        [""],
    ],
)
@pytest.mark.parametrize("width", [4.2, 8.0])
def test_a_legend_lies_in_the_figure_and_takes_nothing_from_the_panels(labels: list[str], width: float) -> None:
    figure = Figure(figsize=(width, 3.3), layout="constrained")
    (axes,) = figure.subplots(1, 1, squeeze=False)[0]
    legend_below(figure, {label: Line2D([], []) for label in labels}, note="A note of some words. " * 12)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= -1
    assert axes.get_position().height * figure.get_figheight() > 1.8


def test_without_a_mark_the_note_stands_alone() -> None:
    figure = Figure(figsize=(4.2, 3.3), layout="constrained")
    legend_below(figure, {}, "No cell is marked.")
    assert not figure.legends
    assert figure.get_supxlabel() == "No cell is marked."


def test_lines_that_are_apart_stay_apart() -> None:
    assert wrapped("gd\n(any momentum)", 1.2) == "gd\n(any momentum)"
    assert wrapped("one two three", 0.5).splitlines() == ["one", "two", "three"]
    assert wrapped("", 1.0) == ""
