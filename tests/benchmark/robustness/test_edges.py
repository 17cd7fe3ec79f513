"""Whatever runs there are: a table, surfaces and all renderings, or a clear error; never a traceback or NaN."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmark.errors import TableError
from benchmark.figures import heatmap_plotly, prepare_heatmap
from benchmark.robustness import (
    RobustnessTable,
    TaskScoring,
    render_csv,
    render_json,
    render_latex,
    render_markdown,
    render_rich,
    robustness_table,
)
from benchmark.surface import surfaces
from tests.benchmark.robustness.runs import ACCURACY, frame_of

pytestmark = pytest.mark.slow

STATUS = st.sampled_from(["completed", "completed", "completed", "diverged", "timed_out", "failed", "missing"])
SCORE = st.sampled_from([0.1, 0.1, 0.5, 0.9, 0.9000000001, 1e-300, -3.0, 1e12])
RUN = st.fixed_dictionaries(
    {
        "task": st.just("digits"),
        "optimizer": st.sampled_from(["gd", "sam", "msam"]),
        "lr": st.sampled_from([0.01, 0.1]),
        "rho": st.sampled_from([0.0, 0.1, 1.0]),
        "seed": st.integers(0, 11),
        "status": STATUS,
        "collapsed": st.booleans(),
        "val_accuracy": SCORE,
        "test_accuracy": SCORE,
        "grad_norm": st.sampled_from([1.0, float("nan"), float("inf")]),
    }
)


def whole(table: RobustnessTable) -> None:
    document = json.loads(render_json(table))
    assert RobustnessTable.from_dict(document).to_dict() == document
    console = Console(width=100, record=True, file=None, quiet=True)
    console.print(render_rich(table))
    for text in (render_markdown(table), render_latex(table), render_csv(table)):
        assert text.endswith("\n")
        assert "nan" not in text.lower().replace("dominant", "")


def valid(frame: pd.DataFrame, scoring: TaskScoring) -> pd.DataFrame:
    known = frame["status"].eq("completed")
    scores = [f"val_{scoring.metric}", f"test_{scoring.metric}"]
    return frame.assign(
        rho=frame["rho"].where(frame["optimizer"] != "gd"), **{name: frame[name].where(known) for name in scores}
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(RUN, min_size=1, max_size=40), st.sampled_from(["maximize", "minimize"]), st.sampled_from([0.0, 0.05, 5.0])
)
def test_any_runs_give_a_table_or_an_error(runs: list[dict[str, object]], goal: str, tolerance: float) -> None:
    scoring = TaskScoring("digits", "accuracy", goal, tolerance, 0.1)  # type: ignore[arg-type]
    frame = valid(pd.DataFrame(runs), scoring)
    unique = frame.drop_duplicates(["optimizer", "lr", "rho", "seed"])
    if len(unique) < len(frame):
        with pytest.raises(TableError, match="a cell must stand once in the frame"):
            robustness_table(frame, scoring)
    whole(robustness_table(unique, scoring))
    for split in ("validation", "test"):
        shown = surfaces(unique, scoring, split=split)
        json.dumps(heatmap_plotly(prepare_heatmap(shown, scoring)), allow_nan=False)
        json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize("n_seeds", [1, 2, 10])
@pytest.mark.parametrize(
    "cell",
    [np.full((3, 4), 0.5), np.full((3, 4), np.nan), np.full((3, 4), 0.1), np.where(np.eye(3, 4) > 0, np.nan, 0.5)],
    ids=["constant", "all diverged", "all at the floor", "some diverged"],
)
def test_degenerate_surfaces(cell: np.ndarray, n_seeds: int) -> None:
    scores = np.repeat(cell[..., None], n_seeds, axis=-1)
    whole(robustness_table(frame_of({"gd": scores[:, 0], "sam": scores, "msam": scores}), ACCURACY))


@pytest.mark.parametrize("status", ["completed", "diverged", "timed_out", "failed", "missing"])
def test_one_cell(status: str) -> None:
    score = 0.5 if status == "completed" else np.nan
    frame = pd.DataFrame([{"optimizer": "sam", "status": status, "accuracy": score}])
    table = robustness_table(frame, ACCURACY)
    whole(table)
    assert table.complete == (status in ("completed", "diverged"))
    assert len(surfaces(frame, ACCURACY)[0]["points"]) == 1


def test_constant_scores_have_no_variance_to_share() -> None:
    measures = robustness_table(frame_of({"sam": np.full((3, 4, 10), 0.5)}), ACCURACY).row("digits", "sam").measures
    assert measures["variance_rho"].reason == "the scores do not vary over the grid"
    assert measures["best"].flags[0] == "tied"
    assert measures["best"].value == 1
    for name in ("best", "grid_mean", "worst", "diverged_rate", "expected_best_4"):
        assert (measures[name].low, measures[name].reason) == (None, "no interval where the seeds do not differ"), name
