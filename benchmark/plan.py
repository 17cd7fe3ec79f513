"""The price of a spec: how many cells and gradient evaluations it takes."""

import itertools
from dataclasses import dataclass

import torch

from benchmark.records import Scalar
from benchmark.schedule import total_steps
from benchmark.spec import Grid, Spec
from benchmark.tasks import load_task, task_faults
from optimizers import optimizer_info


@dataclass(frozen=True, slots=True)
class GridPrice:
    """What the grid of one optimizer on one task takes; one of the second wave begins when its partner has ended."""

    task: str
    optimizer: str
    n_configurations: int
    n_cells: int
    gradient_evaluations: int
    steps: int
    wave: int = 1


def price(spec: Spec) -> tuple[GridPrice, ...]:
    """Return what each grid of a spec takes at most: a run that diverges ends early.

    Raises:
        TaskDataError: when the data of a task is not there.
        TaskFaultError: when the code of a task fails.
    """
    prices = []
    for grid in spec.grids:
        with task_faults(grid.setting.task):
            task = load_task(grid.setting.task, grid.setting.task_params)
            n_examples = len(task.data(spec.seeds.base, torch.device("cpu")).train[0])
        rule = optimizer_info(grid.setting.rule)
        evaluations, steps, known = 0, 0, grid.configurations()
        if grid.is_adaptive:  # at the ends of its intervals, whichever is dearer
            known = itertools.repeat(_dearest(grid), grid.n_configurations)
        for hyperparameters in known:
            per_step = rule.gradient_evaluations(hyperparameters)
            n_steps = total_steps(grid.setting.budget, n_examples, per_step)
            steps += n_steps * spec.seeds.count
            evaluations += round(per_step * n_steps) * spec.seeds.count
        n_cells = grid.n_configurations * spec.seeds.count
        wave = 2 if grid.partner else 1
        prices.append(GridPrice(grid.task, grid.optimizer, grid.n_configurations, n_cells, evaluations, steps, wave))
    return tuple(prices)


def _dearest(grid: Grid) -> dict[str, Scalar]:
    """Return the configuration, at an end of one of the axes, whose steps take the most gradient evaluations."""
    lowest = [min(axis.values) for axis in grid.axes]
    ends = (
        (*lowest[:place], end, *lowest[place + 1 :])
        for place, axis in enumerate(grid.axes)
        for end in (min(axis.values), max(axis.values))
    )
    return max(map(grid.configuration, ends), key=optimizer_info(grid.setting.rule).gradient_evaluations)
