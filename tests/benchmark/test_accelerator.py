"""What only a GPU can show of a step: scaled losses, the memory of micro-batches, batch norm over processes."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from benchmark.batches import batches_of
from benchmark.cell_costs import cell_bytes
from benchmark.distributed import joined, spread
from benchmark.records import Outcome, Status
from benchmark.replay import initial_model
from benchmark.spec import Cell
from benchmark.stepping import Stepping
from benchmark.tasks import load_task
from benchmark.training import train
from tests.benchmark.steps import cell_of
from tests.benchmark.vision import write_cifar

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU = torch.device("cuda")
RESNET = {"width": 16, "norm": "group"}


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    write_cifar(tmp_path, n=120, n_test=50)


def outcome_of(cell: Cell) -> Outcome:
    task = load_task(cell.setting.task, cell.setting.task_params)
    return train(task, cell.setting, cell.hyperparameters, cell.seed, device=GPU, limit_s=math.inf)


@pytest.mark.parametrize("rule", ["gd", "sam", "msam", "gsam"])
def test_a_run_in_fp16_is_near_the_one_in_fp32(rule: str) -> None:
    wide, narrow = (
        outcome_of(cell_of("cifar10-resnet18", rule, RESNET, batch_size=100, epochs=2, precision=precision))
        for precision in ("fp32", "fp16")
    )
    assert narrow.status is Status.COMPLETED
    assert narrow.metrics["train_loss"] == pytest.approx(wide.metrics["train_loss"], rel=0.05)
    assert narrow.cost.gradient_evaluations == wide.cost.gradient_evaluations


def test_a_run_that_overflows_at_every_scale_has_diverged() -> None:
    params, budget = {**RESNET, "loss_scale": 2.0**30}, {"batch_size": 100, "epochs": 6, "precision": "fp16"}
    outcome = outcome_of(cell_of("cifar10-resnet18", "sam", params, **budget))
    assert outcome.status is Status.DIVERGED
    assert outcome.diverged_at_step == 17


def step_of(**budget: Any) -> tuple[list[torch.Tensor], int]:
    """Parameters after a step, and the most memory that was taken in it."""
    cell = cell_of("cifar10-resnet18", "msam", RESNET, batch_size=500, **budget)
    task = load_task(cell.setting.task, cell.setting.task_params)
    model = initial_model(task, 3, GPU).train()
    stepping = Stepping(task, cell.setting, cell.hyperparameters, model, 3, GPU)
    batch = next(batches_of(task.data(3, GPU).train, 500, 3))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    stepping.step(1, batch)
    return [p.detach() for p in model.parameters()], torch.cuda.max_memory_allocated() - before


def test_micro_batches_take_less_memory() -> None:
    (whole, most), (parts, less) = step_of(), step_of(micro_batch=50)
    assert less < 0.3 * most
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-4)
    cells = [cell_of("cifar10-resnet18", "msam", RESNET, batch_size=500, micro_batch=n) for n in (50, None)]
    task = load_task("cifar10-resnet18", cells[0].setting.task_params)
    n_bytes = [cell_bytes(task, cell.setting, cell.hyperparameters, 3, device=GPU) for cell in cells]
    assert n_bytes[0] <= n_bytes[1]


def test_batch_norm_and_gradients_go_over_processes(tmp_path: Path) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).to(GPU)
    inputs = torch.randn(8, 3, 6, 6, device=GPU)
    plain(inputs)
    other = copy.deepcopy(plain)
    store = dist.FileStore(str(tmp_path / "store"), 1)  # type: ignore[attr-defined]  # torch lists it nowhere as export
    with joined(0, 1, store, "127.0.0.1", GPU):
        number = torch.tensor(3)
        dist.broadcast(number, src=0)  # over gloo, beside NCCL
        shared = spread(other, None, GPU)
        assert any(isinstance(layer, nn.SyncBatchNorm) for layer in shared.modules())
        for model in (plain, shared):
            model(inputs).square().mean().backward()
        for p, q in zip(plain.parameters(), shared.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)
