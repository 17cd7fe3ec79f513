"""Tables of runs that were made elsewhere: a csv by hand, the same as a frame, and what is wrong with a bad file."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import benchmark
from benchmark import Spec, TableError
from benchmark.frame import results_frame
from benchmark.own_runs import ON_TRUST
from benchmark.robustness import TaskScoring, robustness_table
from benchmark.tables import spec_table
from tests.benchmark.robustness.runs import frame_of, noisy_scores
from tests.service.filling import completed, diverged, records_by_key, small_spec

BY_HAND = """\
optimizer,lr,rho,seed,accuracy
sgd,0.01,,0,0.50
sgd,0.01,,1,0.54
sgd,0.1,,0,0.70
sgd,0.1,,1,0.74
sam,0.01,0.1,0,0.60
sam,0.01,0.1,1,0.64
sam,0.01,1,0,0.40
sam,0.01,1,1,
sam,0.1,0.1,0,0.90
sam,0.1,0.1,1,0.92
sam,0.1,1,0,0.10
sam,0.1,1,1,0.10
"""
SCORED: dict[str, Any] = {"metric": "accuracy", "tolerance": 0.01, "floor": 0.1}


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(BY_HAND)
    return path


def test_a_csv_by_hand_has_the_numbers_worked_by_hand(by_hand: Path) -> None:
    table = benchmark.table(by_hand, **SCORED)
    assert table.tasks[0].y_ref == pytest.approx(0.91)
    sam, sgd = table.row("runs", "sam"), table.row("runs", "sgd")
    assert sam.measures["best"].raw == pytest.approx(0.91)
    # the run without a score diverged, and counts as the floor
    assert sam.measures["grid_mean"].raw == pytest.approx((0.62 + (0.40 + 0.1) / 2 + 0.91 + 0.1) / 4)
    assert sgd.measures["grid_mean"].raw == pytest.approx(0.62)
    assert sam.measures["diverged_rate"].value == pytest.approx(1 / 8)
    assert sam.measures["good_share"].value == pytest.approx(1 / 4)
    assert sgd.grid.broadcast == ("rho",)
    (difference,) = (one for one in table.differences if one.measure == "grid_mean")
    assert (difference.first, difference.second) == ("sgd", "sam")
    assert difference.value * (0.91 - 0.1) == pytest.approx(0.62 - 0.47)


def test_a_file_and_the_same_frame_give_one_table(by_hand: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [
            ("runs", "sgd", 0.01, None, 0, 0.50),
            ("runs", "sgd", 0.01, None, 1, 0.54),
            ("runs", "sgd", 0.1, None, 0, 0.70),
            ("runs", "sgd", 0.1, None, 1, 0.74),
            ("runs", "sam", 0.01, 0.1, 0, 0.60),
            ("runs", "sam", 0.01, 0.1, 1, 0.64),
            ("runs", "sam", 0.01, 1.0, 0, 0.40),
            ("runs", "sam", 0.01, 1.0, 1, None),
            ("runs", "sam", 0.1, 0.1, 0, 0.90),
            ("runs", "sam", 0.1, 0.1, 1, 0.92),
            ("runs", "sam", 0.1, 1.0, 0, 0.10),
            ("runs", "sam", 0.1, 1.0, 1, 0.10),
        ],
        columns=["task", "optimizer", "lr", "rho", "seed", "accuracy"],
    )
    scoring = TaskScoring("runs", "accuracy", "maximize", 0.01, 0.1)
    expected = robustness_table(frame, scoring, notes={"runs": (ON_TRUST,)}).to_dict()
    frame.to_parquet(tmp_path / "runs.parquet")
    for runs in (by_hand, str(by_hand), frame, tmp_path / "runs.parquet"):
        assert benchmark.table(runs, **SCORED).to_dict() == expected


def test_every_task_of_a_frame_is_scored() -> None:
    scores = noisy_scores(2)
    scorings = [TaskScoring(task, "accuracy", "maximize", 0.01, 0.1) for task in ("one", "two")]
    frame = pd.concat([frame_of(scores, scoring=scoring) for scoring in scorings])
    assert benchmark.table(frame, **SCORED).rows == robustness_table(frame, scorings).rows


def test_a_hyperparameter_of_ones_own() -> None:
    frame = frame_of({"sam": noisy_scores(2)["sam"]}).rename(columns={"rho": "dropout"})
    with pytest.raises(TableError, match=r"stands 4 times; is a seed or a swept hyperparameter left out\?"):
        benchmark.table(frame, **SCORED)
    table = benchmark.table(frame, **SCORED, hyperparameters=["lr", "dropout"])
    assert [axis.name for axis in table.tasks[0].axes or ()] == ["lr", "dropout"]
    with pytest.raises(TableError, match="must have a column dropuot; it has: task, optimizer, lr, dropout"):
        benchmark.table(frame, **SCORED, hyperparameters=["lr", "dropuot"])


def test_the_records_of_a_job_as_csv_give_the_numbers_of_its_table(tmp_path: Path) -> None:
    spec = Spec.from_mapping(small_spec())
    records = records_by_key(
        spec, lambda cell: diverged(cell) if cell.hyperparameters.get("rho") == 1 else completed(cell)
    )
    results_frame(spec, records).to_csv(tmp_path / "records.csv", index=False)
    own, told = spec_table(spec, records), spec_table(spec, records).tasks[0]
    table = benchmark.table(tmp_path / "records.csv", metric="accuracy", tolerance=told.tolerance, floor=told.floor)
    assert [row.to_dict()["measures"] for row in table.rows] == [row.to_dict()["measures"] for row in own.rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BY_HAND.replace("optimizer,", "method,", 1), "must have a column optimizer; it has: method, lr, rho, seed"),
        (BY_HAND.replace(",accuracy", ",acc", 1), "must have the columns val_accuracy and test_accuracy, or accuracy"),
        (
            BY_HAND.replace("sgd,0.1,,0,0.70", "sgd,fast,,0,0.70"),
            r"column lr must hold numbers, but row 2 .* has 'fast'",
        ),
        (BY_HAND.replace("0.92", "good"), r"column accuracy must hold numbers, but row 9 .* has 'good'"),
        (BY_HAND.replace("sam,0.1,1,0,", ",0.1,1,0,"), "column optimizer, but 1 have none, first in row 10"),
        (BY_HAND.replace("sam,0.1,1,0,", "sam,0.1,1,zero,"), "column seed must hold numbers, but row 10 .* has 'zero'"),
        (BY_HAND.replace("sam,0.1,1,0,", "sam,0.1,1,0.5,"), "seed must be a whole number, but row 10 .* has 0.5"),
        (BY_HAND + "sam,0.1,1,1,0.1\n", "sam on runs at lr=0.1, rho=1.0, seed 1 stands 2 times"),
        (BY_HAND + "sam,0.1,1,2,0.1,7,8\n", r"not a valid csv file: .*Expected 5 fields in line 14, saw 7"),
        ("", "not a valid csv file: No columns to parse from file"),
        ("optimizer,lr,accuracy\n", "needs at least one run, but the frame has no rows"),
    ],
)
def test_a_bad_csv_says_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        benchmark.table(path, **SCORED)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"cannot read .*nowhere.csv: No such file"):
        benchmark.table(tmp_path / "nowhere.csv", **SCORED)
    with pytest.raises(TableError, match=r"must end in .csv or .parquet, but got 'runs.xlsx'"):
        benchmark.table(tmp_path / "runs.xlsx", **SCORED)
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(TableError, match="is not a valid parquet file"):
        benchmark.table(tmp_path / "a.parquet", **SCORED)
    (tmp_path / "latin.csv").write_bytes("optimizer,accuracy\nd\xe9part,0.5\n".encode("latin-1"))
    with pytest.raises(TableError, match="is not a valid csv file: 'utf-8' codec"):
        benchmark.table(tmp_path / "latin.csv", **SCORED)
