"""The robustness table of runs that were made elsewhere: a data frame, or a csv or parquet file with a row a run."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.errors import TableError
from benchmark.robustness import RobustnessTable, TaskScoring, infer_grids, robustness_table
from benchmark.robustness.choices import ENDINGS, SWEPT, Goal

ON_TRUST = "Runs made elsewhere: that they had equal budgets, and share what a seed decides, is taken on trust."
ONE_TASK = "runs"  # label of the task of a frame without a column of that name


def table(
    runs: pd.DataFrame | str | Path,
    *,
    metric: str,
    tolerance: float,
    floor: float,
    goal: Goal = "maximize",
    hyperparameters: Sequence[str] = SWEPT,
) -> RobustnessTable:
    """Return the robustness table of runs of one's own; runs of the same task and seed are taken as paired.

    Args:
        runs: a row a run, or a csv or parquet file of them; `benchmark.robustness.columns` says which columns.
        metric: column with the score, or the part of its name after `val_` and `test_`.
        tolerance: scores within it of the reference count as good, in raw units, for every task.
        floor: what a diverged run scores, in raw units: the level of chance.
        goal: maximize or minimize.
        hyperparameters: columns that were swept.

    Raises:
        TableError: where the file cannot be read, a column is missing or a row malformed, with which.
    """
    frame = runs if isinstance(runs, pd.DataFrame) else read_runs_file(Path(runs))
    missing = [name for name in hyperparameters if name not in frame and tuple(hyperparameters) != SWEPT]
    if missing:
        raise TableError(f"the frame must have a column {missing[0]}; it has: {', '.join(map(str, frame.columns))}.")
    tasks = [ONE_TASK] if "task" not in frame else frame["task"].dropna().astype(str).unique().tolist()
    scorings = [TaskScoring(task, metric, goal, tolerance, floor) for task in tasks or [ONE_TASK]]
    grids = infer_grids(frame, scorings, hyperparameters)
    return robustness_table(frame, scorings, grids, notes={scoring.task: (ON_TRUST,) for scoring in scorings})


def read_runs_file(path: Path) -> pd.DataFrame:
    """Return the rows of a csv or parquet file.

    Raises:
        TableError: for another ending, and where the file cannot be read, with the reason.
    """
    if path.suffix not in ENDINGS:
        raise TableError(f"a file of runs must end in {' or '.join(ENDINGS)}, but got {path.name!r}.")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:  # pandas, pyarrow and codecs all raise kinds of it for a malformed file
        raise TableError(f"{path} is not a valid {path.suffix[1:]} file: {str(error).strip().rstrip('.')}.") from error
