"""Tasks: what is benchmarked, by name."""

from benchmark.tasks.protocol import Batch, Metric, Splits, Task
from benchmark.tasks.registry import load_task, task_class, task_names

__all__ = ["Batch", "Metric", "Splits", "Task", "load_task", "task_class", "task_names"]
