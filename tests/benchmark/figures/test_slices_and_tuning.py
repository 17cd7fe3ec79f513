"""Figures of slices and of tuning curves, by their structure."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.figures import FigureData, figure_of
from benchmark.figures.matplotlib_lines import lines_matplotlib
from benchmark.figures.plotly_lines import lines_plotly
from benchmark.figures.slices import prepare_slices
from benchmark.figures.tuning import prepare_tuning
from benchmark.robustness import robustness_table
from benchmark.robustness.curves import tuning_curves
from benchmark.robustness.marginal import slices
from tests.benchmark.robustness.runs import ACCURACY, LRS, RHOS, frame_of, lose, noisy_scores

pytestmark = pytest.mark.slow
FRAME = frame_of(noisy_scores(5))
OTHER = ACCURACY.__class__("other", "accuracy", "maximize", 0.05, 0.1)


def test_slices_are_a_panel_an_axis_with_all_optimizers_on_shared_axes() -> None:
    figure = prepare_slices(slices(FRAME, ACCURACY), [ACCURACY])
    along_rho, along_lr = figure.panels
    assert (along_rho.x_title, along_lr.x_title) == ("\N{GREEK SMALL LETTER RHO}", "learning rate")
    assert along_rho.is_log
    assert along_lr.is_log
    assert figure.y_range(along_rho) == figure.y_range(along_lr)
    for panel in figure.panels:
        assert [(line.label, line.style) for line in panel.lines] == [("gd", 0), ("sam", 1), ("msam", 2)]
        assert all(line.has_band for line in panel.lines)
    gd, sam, _ = along_rho.lines
    assert not gd.has_points
    assert gd.x.tolist() == [RHOS[0], RHOS[-1]]
    assert gd.y[0] == gd.y[1]
    assert sam.has_points
    assert sam.x.tolist() == list(RHOS)
    assert along_lr.lines[0].x.tolist() == list(LRS)
    assert "Bands: pointwise, 95% t-interval over seeds." in figure.note


def test_the_note_says_where_the_slices_lie() -> None:
    figure = prepare_slices(slices(FRAME, ACCURACY), [ACCURACY])
    table = robustness_table(FRAME, ACCURACY)
    for row in table.rows:
        assert row.best is not None
        assert all(f"{name} {value:.3g}" in figure.note for name, value in row.best.hyperparameters.items())


def test_slices_of_several_tasks_name_them() -> None:
    every = (*slices(FRAME, ACCURACY), *slices(FRAME.assign(task="other"), OTHER))
    figure = prepare_slices(every, [ACCURACY, OTHER])
    assert [panel.title for panel in figure.panels] == ["digits", "digits", "other", "other"]
    assert "sam on other " in figure.note


def test_tuning_curves_are_a_panel_a_task_over_the_logarithm_of_k() -> None:
    both = FRAME.assign(task="other")
    curves = (*tuning_curves(FRAME, ACCURACY), *tuning_curves(both, OTHER))
    figure = prepare_tuning(curves, [ACCURACY, OTHER])
    assert [panel.title for panel in figure.panels] == ["digits", "other"]
    assert all(panel.is_log for panel in figure.panels)
    gd, sam, _ = figure.panels[0].lines
    assert (gd.x.tolist(), sam.x.tolist()) == ([1, 2, 3], list(range(1, 13)))
    assert sam.has_band
    assert figure.panels[0].y_title == "expected best accuracy"


@pytest.mark.parametrize("name", ["slices", "tuning"])
def test_both_libraries_draw_every_line(name: str) -> None:
    figure = (
        prepare_slices(slices(FRAME, ACCURACY), [ACCURACY])
        if name == "slices"
        else prepare_tuning(tuning_curves(FRAME, ACCURACY), [ACCURACY])
    )
    svg = lines_matplotlib(figure).decode()
    assert svg == lines_matplotlib(figure).decode()
    assert all(re.search(rf">{label}<", svg) for label in ("gd", "sam", "msam"))
    data = lines_plotly(figure)["data"]
    named = [trace["name"] for trace in data if trace.get("showlegend")]
    assert named == ["gd", "sam", "msam"]


def test_one_seed_has_lines_without_bands() -> None:
    frame = frame_of(noisy_scores(1))
    for figure in (
        prepare_slices(slices(frame, ACCURACY), [ACCURACY]),
        prepare_tuning(tuning_curves(frame, ACCURACY), [ACCURACY]),
    ):
        assert not any(line.has_band for panel in figure.panels for line in panel.lines)
        assert figure.note.endswith("No bands: they need 2 seeds.")
        assert lines_matplotlib(figure, image_format="png").startswith(b"\x89PNG")


def test_a_gap_stays_a_gap() -> None:
    frame = FRAME.copy()
    sliced = slices(frame, ACCURACY)
    best = next(one for one in sliced if (one.optimizer, one.axis) == ("sam", "rho"))
    gone = (frame["optimizer"] == "sam") & (frame["rho"] == RHOS[-1]) & (frame["lr"] == best.others["lr"])
    lose(frame, frame.index[gone], "failed")
    line = prepare_slices(slices(frame, ACCURACY), [ACCURACY]).panels[0].lines[1]
    assert np.isnan(line.y).tolist() == [False, False, False, True]


@pytest.mark.parametrize("kind", ["slices", "tuning", "profiles"])
def test_lines_of_a_part_of_the_grid_and_of_another_grid_are_told(kind: str) -> None:
    scores = noisy_scores(3)
    frame = pd.concat([frame_of(scores), frame_of({"asam": scores["sam"]}, rhos=[3 * rho for rho in RHOS])])
    frame = frame.reset_index(drop=True)
    lose(frame, frame.index[(frame["optimizer"] == "msam") & (frame["rho"] == RHOS[0])], "timed_out")
    note = figure_of(FigureData.of_frame(frame, ACCURACY), kind).prepared.note
    assert "Incomplete, and of what is complete: msam 9 of 12 configurations." in note
    assert "On another grid, not to be ranked with the others: asam." in note
    whole = figure_of(FigureData.of_frame(FRAME, ACCURACY), kind).prepared.note
    assert "Incomplete" not in whole
    assert "another grid" not in whole


def test_where_the_seeds_do_not_differ_the_band_has_a_gap_in_both_libraries() -> None:
    scores = noisy_scores(3)["sam"]
    scores[:, 2] = np.nan  # every run diverged there: three times the floor tells no spread
    figure = prepare_slices(slices(frame_of({"sam": scores}), ACCURACY), [ACCURACY])
    line = figure.panels[0].lines[0]
    assert line.low is not None
    assert np.isnan(line.low).tolist() == [False, False, True, False]
    assert not np.isnan(line.y).any()
    band = next(trace for trace in lines_plotly(figure)["data"] if trace.get("fill") == "toself")
    assert band["x"] == [0.01, 0.1, 0.1, 0.01, None, 10.0, 10.0]
    json.dumps(band, allow_nan=False)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(TableError, match="a figure of slices needs an optimizer on a full grid"):
        prepare_slices([], [ACCURACY])
    with pytest.raises(TableError, match="a tuning curve needs a complete configuration"):
        prepare_tuning([], [ACCURACY])
