"""The robustness table for programs: csv with a line a measure, and JSON."""

import csv
import io
import json

from benchmark.robustness.rendering.escaping import csv_text
from benchmark.robustness.table import RobustnessTable

COLUMNS = (
    "task",
    "optimizer",
    "ranked",
    "measure",
    "value",
    "raw",
    "low",
    "high",
    "level",
    "method",
    "flags",
    "reason",
    "metric",
    "goal",
    "floor",
    "y_ref",
    "tolerance",
    "n_seeds",
)


def render_csv(table: RobustnessTable) -> str:
    """Return the table as csv: a line for each measure of each row, numbers in full, nothing where there is none.

    Texts that a spreadsheet would take for a formula get a leading apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    tasks = {task.task: task for task in table.tasks}
    for row in table.rows:
        task = tasks[row.task]
        about = (task.metric, task.goal, task.floor, task.y_ref, task.tolerance, task.n_seeds)
        for name, measure in row.measures.items():
            numbers = (measure.value, measure.raw, measure.low, measure.high, measure.level)
            texts = (measure.method, " ".join(measure.flags), measure.reason)
            values = (row.task, row.optimizer, row.ranked, name, *numbers, *texts, *about)
            writer.writerow([csv_text(value) if isinstance(value, str) else value for value in values])
    return stream.getvalue()


def render_json(table: RobustnessTable) -> str:
    """Return the table as JSON; nothing in it is NaN or infinite."""
    return json.dumps(table.to_dict(), indent=2, allow_nan=False) + "\n"
