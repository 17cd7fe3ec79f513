"""Figures of ranks: they say what the robustness table says, in both libraries."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.figures import FigureData, figure_of
from benchmark.robustness import robustness_table
from tests.benchmark.robustness.runs import ACCURACY, RHOS, frame_of, noisy_scores

pytestmark = pytest.mark.slow
OTHER = ACCURACY.__class__("other", "accuracy", "maximize", 0.05, 0.1)
SCORES = noisy_scores(5)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Runs of four optimizers, of which the worst two differ by a little, now to this side and now to that."""
    return frame_of({**SCORES, "<b>near</b>": SCORES["sam"] + 0.01 * np.array([1, -1, 1, -1, -1])})


def test_ranks_are_those_of_the_table_the_best_first(frame: pd.DataFrame) -> None:
    shown = figure_of(FigureData.of_frame(frame, ACCURACY), "ranks").prepared
    (panel,) = shown.panels
    table = robustness_table(frame, ACCURACY)
    assert [(row.optimizer, row.rank) for row in panel.rows] == [(row.optimizer, row.rank) for row in table.rows]
    assert [row.optimizer for row in panel.rows] == ["gd", "msam", "sam", "<b>near</b>"]
    ranks = [(row.rank.value, row.rank.low, row.rank.high) for row in panel.rows]
    assert ranks == [(1, 1, 1), (2, 2, 2), (3, 3, 4), (4, 3, 4)]
    assert "not ruled out at 95% (Holm over all one-sided paired tests)" in shown.note


def test_both_libraries_and_the_frame_have_every_row(frame: pd.DataFrame) -> None:
    figure = figure_of(FigureData.of_frame(frame, ACCURACY), "ranks")
    rows = figure.prepared.panels[0].rows
    svg = figure.image().decode()
    assert svg == figure.image().decode()
    assert all(f">{label}<" in svg for label in ("gd", "sam", "msam", "&lt;b&gt;near&lt;/b&gt;"))
    document = figure.plotly()
    json.dumps(document, allow_nan=False)
    drawn = [
        (trace["x"][0], trace["error_x"]["arrayminus"][0], trace["error_x"]["array"][0]) for trace in document["data"]
    ]
    assert drawn == [(row.rank.value, row.rank.value - row.rank.low, row.rank.high - row.rank.value) for row in rows]
    assert document["layout"]["yaxis"]["ticktext"][-1] == "&lt;b&gt;near&lt;/b&gt;"
    found = pd.read_csv(io.StringIO(figure.csv()))
    assert found[["optimizer", "rank", "low", "high"]].to_numpy().tolist() == [
        [row.optimizer, row.rank.value, row.rank.low, row.rank.high] for row in rows
    ]


def test_a_panel_a_task_and_who_has_no_rank_is_told_with_the_reason(frame: pd.DataFrame) -> None:
    elsewhere = frame_of({"asam": SCORES["sam"]}, rhos=[3 * rho for rho in RHOS])
    both = pd.concat([frame, elsewhere, frame.assign(task="other")]).reset_index(drop=True)
    shown = figure_of(FigureData.of_frame(both, [ACCURACY, OTHER]), "ranks").prepared
    assert [panel.title for panel in shown.panels] == ["digits", "other"]
    assert [len(panel.rows) for panel in shown.panels] == [4, 4]
    assert "Without a rank: asam on digits: " in shown.note


def test_one_seed_rules_nothing_out() -> None:
    shown = figure_of(FigureData.of_frame(frame_of(noisy_scores(1)), ACCURACY), "ranks").prepared
    assert {(row.rank.low, row.rank.high) for row in shown.panels[0].rows} == {(1, 3)}


def test_where_nothing_can_be_ranked_it_is_refused_with_the_reason(frame: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="with a whole grid in common, but there is only sam"):
        figure_of(FigureData.of_frame(frame, ACCURACY), "ranks", optimizers=["sam"])
    gone = frame.assign(status="failed", test_accuracy=np.nan)
    with pytest.raises(TableError, match=r"but gd: \d+ of \d+ cells are missing; sam: "):
        figure_of(FigureData.of_frame(gone, ACCURACY), "ranks")
