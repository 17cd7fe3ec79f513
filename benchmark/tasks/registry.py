"""The registry of tasks: every task that a spec may name."""

import functools
import json
from collections.abc import Mapping

from benchmark.canonical import canonical_json
from benchmark.errors import UnknownTaskError
from benchmark.parsing import unknown_name
from benchmark.records import Scalar
from benchmark.tasks.digits import DigitsMLP
from benchmark.tasks.protocol import Task

_TASKS: dict[str, type[Task]] = {task.name: task for task in (DigitsMLP,)}


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    return tuple(sorted(_TASKS))


def task_class(name: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        UnknownTaskError: when there is no such task; the message names the nearest.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise UnknownTaskError(unknown_name("task", name, _TASKS)) from None


def load_task(name: str, params: Mapping[str, Scalar | str]) -> Task:
    """Return the task with these parameters; a process makes each only once, so its cells share the data."""
    return _load(name, canonical_json(dict(params)))


@functools.lru_cache(maxsize=64)
def _load(name: str, params: str) -> Task:
    return task_class(name)(json.loads(params))
