"""The robustness table for programs: csv and parquet with a line a measure, and JSON."""

import json

import pandas as pd

from benchmark.robustness.registry import BY_NAME
from benchmark.robustness.rendering.caption import grid_text
from benchmark.robustness.rendering.escaping import csv_text
from benchmark.robustness.table import FAILURES, RobustnessTable

# the columns of the long form, and their types
TYPES = {
    "task": "str",
    "optimizer": "str",
    "ranked": "bool",
    "rank": "Int64",
    "measure": "str",
    "value": "float64",
    "raw": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",
    "method": "str",
    "flags": "str",
    "reason": "str",
    "unit": "str",
    "metric": "str",
    "goal": "str",
    "floor": "float64",
    "y_ref": "float64",
    "tolerance": "float64",
    "n_seeds": "int64",
    "grid": "str",
    "view": "str",
    "failures": "str",
    "version": "str",
}


def long_frame(table: RobustnessTable) -> pd.DataFrame:
    """Return the table in long form: a row for each measure of each row, numbers in full, nothing where there is none.

    How the task was scored stands in every row, so that frames of several tables can be put one under the other.
    """
    tasks = {task.task: task for task in table.tasks}
    rows = []
    for row in table.rows:
        task = tasks[row.task]
        scored = (task.metric, task.goal, task.floor, task.y_ref, task.tolerance)
        about = (*scored, task.n_seeds, grid_text(task), table.view, FAILURES)
        rank = None if row.rank is None else row.rank.value
        for name, measure in row.measures.items():
            numbers = (measure.value, measure.raw, measure.low, measure.high, measure.level)
            texts = (measure.method, " ".join(measure.flags), measure.reason, BY_NAME[name].unit)
            rows.append((row.task, row.optimizer, row.ranked, rank, name, *numbers, *texts, *about, table.version))
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def csv_of(frame: pd.DataFrame) -> str:
    """Return a frame as csv; texts that a spreadsheet would take for a formula get a leading apostrophe."""
    shown = frame.copy()
    for name in frame:
        if pd.api.types.is_string_dtype(frame[name]):
            shown[name] = frame[name].map(csv_text, na_action="ignore")
    return str(shown.to_csv(index=False, lineterminator="\n"))


def render_csv(table: RobustnessTable) -> str:
    """Return the long form as csv, as `csv_of` writes it."""
    return csv_of(long_frame(table))


def render_parquet(table: RobustnessTable) -> bytes:
    """Return the long form as parquet, which keeps the types; texts are as they are."""
    return long_frame(table).to_parquet(index=False)


def render_json(table: RobustnessTable) -> str:
    """Return the table as JSON; nothing in it is NaN or infinite."""
    return json.dumps(table.to_dict(), indent=2, allow_nan=False) + "\n"
