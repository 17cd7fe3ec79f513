"""Tasks: what is benchmarked, by name."""

from benchmark.tasks.faults import task_faults
from benchmark.tasks.lazy import LazyRows, Split
from benchmark.tasks.protocol import Batch, Metric, Model, ParamValue, Splits, Task
from benchmark.tasks.registry import (
    adopt_task,
    check_task,
    load_task,
    register_task,
    registered_tasks,
    task_class,
    task_names,
    task_source,
)

__all__ = [
    "Batch",
    "LazyRows",
    "Metric",
    "Model",
    "ParamValue",
    "Split",
    "Splits",
    "Task",
    "adopt_task",
    "check_task",
    "load_task",
    "register_task",
    "registered_tasks",
    "task_class",
    "task_faults",
    "task_names",
    "task_source",
]
