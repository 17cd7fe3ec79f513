"""Budgets turned into steps: how many, with which factor on the learning rate, and evaluated when."""

import math

from benchmark.spec.models import Budget


def steps_per_epoch(n_examples: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch; one batch of everything where there are fewer examples."""
    return max(1, n_examples // batch_size)


def total_steps(budget: Budget, n_examples: int, evaluations_per_step: float) -> int:
    """Return the number of steps of a budget, at least one.

    Args:
        budget: in epochs or in gradient evaluations.
        n_examples: size of the training split.
        evaluations_per_step: gradient evaluations that a step of the optimizer takes, on average.
    """
    if budget.gradient_evaluations is not None:
        return max(1, math.floor(budget.gradient_evaluations / evaluations_per_step))
    return (budget.epochs or 1) * steps_per_epoch(n_examples, budget.batch_size)


def lr_factor(step: int, total: int, budget: Budget) -> float:
    """Return the factor on the learning rate at a step, counted from 0.

    The factor rises linearly to 1 over the first `warmup` share of the steps; after that it is constant, or follows
    half a cosine that would reach 0 at step `total` (I. Loshchilov, F. Hutter, SGDR: Stochastic Gradient Descent with
    Warm Restarts, arXiv 1608.03983, without restarts).
    """
    n_warmup = round(budget.warmup * total)
    if step < n_warmup:
        return (step + 1) / n_warmup
    if budget.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / (total - n_warmup)))


def evaluation_steps(total: int, most: int) -> tuple[int, ...]:
    """Return after how many steps the model is evaluated: at most `most` times, evenly, the last time at the end."""
    n = min(most, total)
    return tuple(round(total * (index + 1) / n) for index in range(n))
