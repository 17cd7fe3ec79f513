"""The seconds of a table: those of a run by itself, where a probe has measured a step of one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pandas as pd

NOTE = "Seconds are those of the steps of a run by itself: their number times the seconds of one, by a short probe."


def probed_seconds(
    frame: pd.DataFrame, keys: Iterable[tuple[str, str, str]], step_s: Mapping[str, float]
) -> tuple[pd.DataFrame, set[str]]:
    """Return a frame of runs with the seconds that each would take by itself, and of which tasks that is known.

    What a run took on a machine that trained others beside it, or at once with it, compares no optimizers. On a task on
    which a step of any of them is not known all keep the seconds that they took.

    Args:
        frame: as `benchmark.frame.results_frame` makes it.
        keys: task, optimizer and key of the setting of each row of the table.
        step_s: seconds of a step of one cell alone, by the key of the setting.
    """
    by_task: dict[str, dict[str, float | None]] = defaultdict(dict)
    for task, optimizer, key in keys:
        by_task[task][optimizer] = step_s.get(key)
    known = {task for task, own in by_task.items() if None not in own.values()}
    found = frame.copy()
    for task in known:
        mine = found["task"] == task
        found.loc[mine, "elapsed_s"] = found.loc[mine, "steps"] * found.loc[mine, "optimizer"].map(by_task[task])
        found.loc[mine, "amortised"] = False
    return found, known
