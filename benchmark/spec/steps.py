"""What a budget asks of each step: whether a task and an optimizer can go such steps."""

from collections.abc import Callable, Iterator

from benchmark.errors import Problem
from benchmark.spec.models import Budget
from benchmark.tasks import Task
from optimizers import optimizer_info


def task_problems(kind: type[Task], budget: Budget, at: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what a budget asks that a task cannot do.

    Args:
        kind: the task.
        budget: its own, or that of the spec.
        at: returns the pointer to a key of the budget.
    """
    if budget.precision not in kind.precisions:
        known = " or ".join(kind.precisions)
        detail = f"{kind.name} can be trained in {known}, but got precision={budget.precision}; "
        yield Problem(at("precision"), f"{detail}give the task a budget of its own.")


def rule_problems(rule: str, budget: Budget, at: Callable[[str], str]) -> Iterator[Problem]:
    """Yield what a budget asks that an optimizer cannot do.

    Args:
        rule: its name.
        budget: of the task on which it is.
        at: returns the pointer to a key of the budget.
    """
    if budget.precision == "fp16" and not optimizer_info(rule).has_base:
        detail = f"fp16 needs an optimizer that leaves out a step whose gradient overflows, but {rule} takes its steps "
        yield Problem(at("precision"), f"{detail}itself; use bf16, or take {rule} out.")
