"""What a budget asks of each step: whether a task and an optimizer can go such steps."""

from collections.abc import Callable, Iterator

from benchmark.errors import Problem
from benchmark.spec.models import Budget
from benchmark.tasks import Task
from optimizers import optimizer_info


def task_problems(task: Task, budget: Budget, at: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what a budget asks that a task cannot do.

    Args:
        task: with its parameters.
        budget: its own, or that of the spec.
        at: returns the pointer to a key of the budget.
    """
    size, other = budget.micro_batch, "give the task a budget of its own."
    if budget.precision not in task.precisions:
        known = " or ".join(task.precisions)
        detail = f"{task.name} can be trained in {known}, but got precision={budget.precision}; {other}"
        yield Problem(at("precision"), detail)
    if size is not None and not task.can_split:
        detail = f"{task.name} does not say that its batches can be split, but got micro_batch={size}; {other}"
        yield Problem(at("micro_batch"), detail)
    elif size is not None and task.has_batch_norm:
        yield Problem(at("micro_batch"), whole_batches(task, size))
    if budget.processes > 1 and not task.can_split:
        got = f"got processes={budget.processes}"
        yield Problem(at("processes"), f"{task.name} does not say that its batches can be split, but {got}; {other}")


def whole_batches(task: Task, micro_batch: int) -> str:
    """Return why a model with batch norm takes no micro-batches, and what to do."""
    detail = f"batch norm sees a batch as a whole, but got micro_batch={micro_batch} with {task.name}"
    return f"{detail}; let it have group norm (norm: group), or leave micro_batch out."


def rule_problems(rule: str, budget: Budget, at: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what a budget asks that an optimizer cannot do.

    Args:
        rule: its name.
        budget: of the task on which it is.
        at: returns the pointer to a key of the budget.
    """
    info = optimizer_info(rule)
    if budget.precision == "fp16" and not info.has_base:
        detail = f"fp16 needs an optimizer that leaves out a step whose gradient overflows, but {rule} takes its steps "
        yield Problem(at("precision"), f"{detail}itself; use bf16, or take {rule} out.")
    if budget.ascent_sync == "local" and (info.cls is None or info.cls.keeps_first_gradient):
        detail = f"{rule} needs the first gradient of all processes, for more than to follow it"
        yield Problem(at("ascent_sync"), f"{detail}, but got ascent_sync=local; use global.")
