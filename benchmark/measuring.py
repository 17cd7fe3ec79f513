"""Measuring a model: the metrics of a task on its splits, as tensors that stay on their device."""

from collections.abc import Mapping

from torch import Tensor

from benchmark.tasks import Batch, Model, Splits, Task
from benchmark.tasks.lazy import in_memory


def scored_splits(task: Task, splits: Splits) -> dict[str, Batch]:
    """Return the splits on which a task is scored, by what stands before a metric's name in a record."""
    return {"val_": splits.validation, "test_": splits.test} if task.has_split else {"": in_memory(splits.train)}


def measured(task: Task, model: Model, splits: Mapping[str, Batch], *, at_end: bool) -> dict[str, Tensor]:
    """Return the metrics of each split that belong to the curve, or those that are measured after the last step.

    Raises:
        ValueError: when the task returns other metrics than it declares.
    """
    measure = task.evaluate_end if at_end else task.evaluate
    names = {metric.name for metric in task.metrics if metric.at_end == at_end}
    found: dict[str, Tensor] = {}
    for prefix, data in splits.items():
        values = measure(model, data)
        if values.keys() != names:
            wanted, got = (", ".join(sorted(keys)) or "nothing" for keys in (names, values.keys()))
            raise ValueError(f"{measure.__name__} of {task.name} must return {wanted}, but it returned {got}.")
        found |= {prefix + name: value for name, value in values.items()}
    return found


def measured_last(task: Task, model: Model, splits: Splits) -> dict[str, Tensor]:
    """Return what is measured after the last step: the loss of the whole training split, and the metrics of the end."""
    train_loss = task.train_loss(model, splits.train)
    return {"train_loss": train_loss, **measured(task, model, scored_splits(task, splits), at_end=True)}
