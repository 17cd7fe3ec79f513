"""Measuring a model: the metrics of a task on its splits, as tensors that stay on their device, and its sharpness."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.seeding import Stream, seeded_torch
from benchmark.sharpness import Neighbourhood, reference_batch, sharpness
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


def sharpness_of(
    task: Task, model: nn.Module, splits: Splits, seed: int, measures: Sequence[str], is_late: Callable[[], bool]
) -> dict[str, float]:
    """Return measures of sharpness by name; parameters and buffers of the model, in eval mode, stay as they are.

    Args:
        task: whose loss is meant.
        model: in eval mode.
        splits: of which the training data counts.
        seed: of the cell.
        measures: their names in a spec.
        is_late: whether no time is left; what is missing then is left out.
    """
    if not measures or is_late():
        return {}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    batch = reference_batch(splits.train)

    def losses(parameters: Sequence[Tensor]) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        state = {**dict(zip(trained, (parameter[0] for parameter in parameters), strict=True)), **buffers}
        with seeded_torch(seed, Stream.SHARPNESS):  # what a loss draws is the same at every point
            return task.loss(lambda *inputs: functional_call(model, state, inputs), batch).unsqueeze(0)

    around = Neighbourhood(losses, [parameter.unsqueeze(0) for parameter in trained.values()])
    return numbers(sharpness(measures, around, [seed], is_late=is_late))


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block with a model in eval mode and without gradients."""
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars of one device as numbers, read together."""
    if not values:
        return {}
    return dict(zip(values, torch.stack(list(values.values())).flatten().cpu().to(torch.float64).tolist(), strict=True))
