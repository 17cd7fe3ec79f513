"""Single steps of cells in 64 bits, on small images, captions and digits."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmark.replay import initial_model
from benchmark.spec import Cell, expand
from benchmark.stepping import Met, Stepping
from benchmark.tasks import load_task
from benchmark.tasks.lazy import in_memory
from tests.benchmark.toys import CPU, make_spec

TASKS: dict[str, dict[str, Any]] = {
    "digits-mlp": {"hidden": 8, "reduction": "sum", "loss_scale": 0.01},
    "cifar10-resnet18": {"width": 4, "norm": "group"},
    "clip-alignment": {"model": "small", "pairs": "squares", "n_scored": 128},
}
RULES: dict[str, dict[str, Any]] = {
    "gd": {},
    "sam": {"rho": 0.05},
    "msam": {"rho": 0.5},
    "asam": {"rho": 0.5},
    "gsam": {"rho": 0.05},
    "look_sam": {"rho": 0.05, "k": 2},
}
BATCH = 20


def cell_of(task: str, rule: str, params: Mapping[str, Any] | None = None, **budget: Any) -> Cell:
    """A cell whose batches have 20 examples, with further keys of its budget."""
    spec = make_spec(
        tasks=[{"name": task, "params": dict(TASKS[task] if params is None else params)}],
        budget={"epochs": 1, "batch_size": BATCH, **budget},
        gd=False,
        optimizers=[{"name": rule, "fixed": RULES[rule]}],
        space={"lr": {"values": [0.05]}},
    )
    return next(expand(spec))


def batches(cell: Cell) -> list[tuple[Tensor, ...]]:
    """The first three batches of its training split, as they stand there."""
    whole = in_memory(load_task(cell.setting.task, cell.setting.task_params).data(3, CPU).train)
    wide = (x.double() if x.is_floating_point() else x for x in whole)
    return list(zip(*(torch.split(x, BATCH)[:3] for x in wide), strict=True))


def three_steps(cell: Cell) -> tuple[list[Tensor], list[Met], int]:
    """Train on three batches; return the parameters, what was met, and the number of gradients that were counted."""
    task = load_task(cell.setting.task, cell.setting.task_params)
    model = initial_model(task, 3, CPU).double().train()
    stepping = Stepping(task, cell.setting, cell.hyperparameters, model, 3, CPU)
    met = []
    for number, batch in enumerate(batches(cell), start=1):
        assert not stepping.crew.rank or stepping.crew.heard() == number
        met.append(stepping.step(number, batch))
    return [p.detach() for p in model.parameters()], met, stepping.optimizer.gradient_evaluations
