"""What frames are taken, and what is said of those that are not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import TableError
from benchmark.robustness import AxisInfo, GridInfo, TaskScoring, infer_grids, robustness_table
from tests.benchmark.robustness.runs import ACCURACY, frame_of, noisy_scores, value

UNKNOWN_GOAL: Any = "up"
Change = Callable[[pd.DataFrame], pd.DataFrame]


def with_first(column: str, new: object) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{column: [new, *frame[column].tolist()[1:]]})

    return change


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of({"sam": noisy_scores(2)["sam"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[:0], "a table needs at least one run, but the frame has no rows"),
        (lambda frame: frame.drop(columns="optimizer"), "the frame must have a column optimizer"),
        (
            lambda frame: frame.drop(columns="test_accuracy"),
            "must have the columns val_accuracy and test_accuracy, or accuracy",
        ),
        (
            lambda frame: frame.drop(columns="rho"),
            "must stand once in the frame, but sam on digits at lr=0.01, seed 0 stands 4 times",
        ),
        (lambda frame: frame.drop(columns="seed"), r"stands 2 times; is a seed or a swept hyperparameter left out\?"),
        (
            lambda frame: pd.concat([frame, frame.iloc[[5]]]),
            "a cell must stand once in the frame, but sam on digits at",
        ),
        (
            lambda frame: pd.concat([frame, frame["lr"]], axis=1),
            "the columns of the frame must differ, but 'lr' stands twice",
        ),
        (
            with_first("status", "done"),
            r"unknown status 'done' in row 0 \(counted from 0\); known: completed, diverged, timed_out, failed",
        ),
        (with_first("status", None), "unknown status"),
        (with_first("seed", 0.5), r"a seed must be a whole number, but row 0 \(counted from 0\) has 0.5"),
        (with_first("seed", float("nan")), "a seed must be a whole number"),
        (with_first("lr", "fast"), r"the column lr must hold numbers, but row 0 \(counted from 0\) has 'fast'"),
        (with_first("collapsed", 2), "the column collapsed must hold true and false only"),
        (with_first("optimizer", None), "every run must have a label in the column optimizer, but 1 have none"),
        (with_first("task", "other"), "every task needs a scoring, but 'other' has none; scored are: digits"),
        (
            with_first("test_accuracy", float("nan")),
            r"a completed run must have a finite score, but 1 of digits have none, first in row 0",
        ),
        (with_first("val_accuracy", float("inf")), "a completed run must have a finite score"),
        (
            with_first("rho", float("nan")),
            r"every run must be on the grid of its optimizer, but 1 of sam on digits are not, first in row 0",
        ),
    ],
)
def test_a_frame_that_allows_no_table_is_refused(frame: pd.DataFrame, change: Change, message: str) -> None:
    with pytest.raises(TableError, match=message):
        robustness_table(change(frame), ACCURACY)


def test_runs_off_the_planned_grid_are_refused(frame: pd.DataFrame) -> None:
    grid = GridInfo(
        "digits", "sam", (AxisInfo("lr", "values", (0.01, 0.1)), AxisInfo("rho", "values", (0.01, 0.1, 1.0, 10.0)))
    )
    with pytest.raises(
        TableError, match=r"but 8 of sam on digits are not, first in row 16 \(counted from 0\) with lr=1.0"
    ):
        robustness_table(frame, ACCURACY, [grid])
    with pytest.raises(TableError, match="every run must be on a grid, but none is given for 'sam' on 'digits'"):
        robustness_table(frame, ACCURACY, [GridInfo("digits", "msam", ())])
    with pytest.raises(TableError, match="sam on digits varies lr, which its grid does not name"):
        robustness_table(
            frame, ACCURACY, [GridInfo("digits", "sam", grid.axes[1:]), GridInfo("digits", "msam", grid.axes)]
        )
    with pytest.raises(TableError, match="an optimizer must have one grid a task, but one has two"):
        robustness_table(frame, ACCURACY, [grid, grid])
    with pytest.raises(TableError, match="every task needs a scoring, but 'other' has none"):
        robustness_table(frame, ACCURACY, [GridInfo("other", "sam", ())])
    with pytest.raises(TableError, match="the frame must have a column momentum, which sam on digits sweeps"):
        robustness_table(
            frame,
            ACCURACY,
            [
                GridInfo(
                    "digits", "sam", (*infer_grids(frame, ACCURACY)[0].axes, AxisInfo("momentum", "values", (0.9,)))
                )
            ],
        )


def test_a_task_is_scored_once(frame: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="a task must be scored once, but got digits, digits"):
        robustness_table(frame, [ACCURACY, ACCURACY])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: replace(ACCURACY, goal=UNKNOWN_GOAL),
            "the goal must be maximize or minimize, but digits has goal='up'",
        ),
        (
            lambda: TaskScoring("t", "m", "maximize", float("nan"), 0.0),
            "0 <= tolerance < infinity must hold, but t has",
        ),
        (lambda: TaskScoring("t", "m", "maximize", -1.0, 0.0), "0 <= tolerance < infinity must hold"),
        (lambda: TaskScoring("t", "m", "maximize", 0.1, float("inf")), "the floor must be a finite number"),
        (lambda: AxisInfo("lr", "log", ()), "an axis must have at least one value, but lr has none"),
        (lambda: AxisInfo("lr", "log", (1.0, 1)), "the values of an axis must differ"),
        (lambda: AxisInfo("lr", "log", (float("nan"),)), "the values of an axis must be finite"),
        (
            lambda: GridInfo("t", "o", (AxisInfo("lr", "log", (1.0,)),) * 2),
            "the axes of a grid must differ, but o on t has lr, lr",
        ),
    ],
)
def test_invalid_values_cannot_be_built(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make()


def test_an_axis_is_kept_in_ascending_order() -> None:
    assert AxisInfo("lr", "values", (1.0, 0.01, 0.1)).values == (0.01, 0.1, 1.0)


def test_a_csv_of_ones_own_runs_is_enough(frame: pd.DataFrame) -> None:
    own = frame.query("seed == 0")[["optimizer", "lr", "rho", "test_accuracy"]].rename(
        columns={"test_accuracy": "accuracy"}
    )
    own = own.assign(accuracy=[np.nan, np.inf, *own["accuracy"].tolist()[2:]])
    table = robustness_table(own, ACCURACY)
    assert table.complete
    assert value(table, "sam", "diverged_rate") == 2 / 12
    assert table.row("digits", "sam").measures["collapsed_rate"].reason == "the runs do not say whether they collapsed"
    assert not table.tasks[0].has_split


def test_a_csv_with_fewer_digits_meets_the_planned_grid(frame: pd.DataFrame) -> None:
    lrs = tuple(np.geomspace(0.01, 1, 3) * np.pi)
    planned = GridInfo("digits", "sam", (AxisInfo("lr", "log", lrs), AxisInfo("rho", "values", (0.01, 0.1, 1.0, 10.0))))
    written = frame.assign(lr=[float(f"{lr * np.pi:.12g}") for lr in frame["lr"]])
    assert robustness_table(written, ACCURACY, [planned]).complete


def test_nullable_and_categorical_columns_are_taken(frame: pd.DataFrame) -> None:
    other = frame.assign(
        collapsed=frame["collapsed"].astype("boolean"),
        optimizer=frame["optimizer"].astype("category"),
        status=frame["status"].astype("category"),
        seed=frame["seed"].astype("Int64"),
        rho=frame["rho"].astype("Float64"),
    )
    assert robustness_table(other, ACCURACY).to_dict() == robustness_table(frame, ACCURACY).to_dict()


def test_other_columns_and_indexes_do_not_matter(frame: pd.DataFrame) -> None:
    other = frame.assign(note="x", train_loss=np.arange(len(frame))).set_index(pd.Index([7] * len(frame)))
    assert robustness_table(other, ACCURACY).to_dict() == robustness_table(frame, ACCURACY).to_dict()


def test_the_frame_is_left_as_it_was(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    robustness_table(frame, ACCURACY)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.001, 0.01, 0.1], "log"),
        ([1.0, 2.0, 3.0], "linear"),
        ([0.0, 0.1, 0.5], "values"),
        ([0.01, 1.0], "log"),
        ([1.0, 2.0], "values"),
        ([1e-3, 2.1544346900318843e-3, 4.641588833612777e-3, 1e-2], "log"),
    ],
)
def test_the_scale_of_an_axis_is_seen(values: list[float], scale: str) -> None:
    frame = pd.DataFrame({"optimizer": "sam", "lr": values, "accuracy": 0.5})
    axis = infer_grids(frame, ACCURACY)[0].axes[0]
    assert (axis.scale, axis.values) == (scale, tuple(values))


def test_runs_scattered_at_random_are_no_grid() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"optimizer": "sam", "lr": rng.random(4_000), "rho": rng.random(4_000), "accuracy": 0.5})
    with pytest.raises(
        TableError, match="the runs must lie on a grid, but those of sam on digits span 16000000 configurations"
    ):
        infer_grids(frame, ACCURACY)
