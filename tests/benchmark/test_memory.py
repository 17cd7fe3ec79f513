import sys
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from benchmark import cell_costs, fused
from benchmark.fused import Run, train_together
from benchmark.memory import (
    MAX_PACKS_PER_GPU,
    MEMORY_SHARE,
    container_free_bytes,
    free_bytes,
    give_back,
    gpu_share,
    pack_bytes,
    peak_bytes,
    ran_out,
)
from benchmark.spec import expand
from benchmark.tasks import load_task
from tests.benchmark.toys import CPU, make_spec

pytestmark = pytest.mark.slow

GIB = 1 << 30
TRACING = 500_000  # bytes, whatever the number of cells


def test_the_peak_is_of_what_lives_at_one_time() -> None:
    given = torch.ones(250)

    def work() -> None:
        first = torch.zeros(250)
        second = first + given  # 2,000 bytes of its own
        del first
        view = second.view(10, 25).mT  # no memory of its own
        view.mul_(2)
        given.add_(1)
        _ = view.sum()  # 1,004

    assert peak_bytes(work) == 2_000
    assert peak_bytes(lambda: None) == 0
    assert peak_bytes(lambda: given.view(-1)) == 0


def test_the_peak_counts_what_is_kept_for_the_way_back() -> None:
    layers = nn.Sequential(*(nn.ReLU() for _ in range(4)))
    inputs = torch.ones(1_000, requires_grad=True)
    assert peak_bytes(lambda: layers(inputs)) == 4 * 4_000
    with torch.no_grad():
        assert peak_bytes(lambda: layers(inputs)) == 2 * 4_000


@pytest.mark.parametrize("rule", ["gd", "sam", "friendly_sam"])
@pytest.mark.parametrize("hidden", [8, 256])
def test_cells_take_what_was_measured_of_one(rule: str, hidden: int) -> None:
    """Of 8 hidden units the data takes most, of 256 the parameters."""
    spec = make_spec(
        tasks=[{"name": "digits-mlp", "params": {"hidden": hidden}}],
        optimizers=[{"name": rule, "label": "own"}],
        gd=False,
        space={"lr": {"log": [0.01, 0.1], "n": 8}},
        seeds={"count": 1},
    )
    cells = list(expand(spec))
    setting = cells[0].setting
    task = load_task(setting.task, setting.task_params)
    runs = [Run(cell.hyperparameters, cell.seed) for cell in cells]
    one = fused.cell_bytes(task, setting, runs[0], device=CPU)
    all_of_them = peak_bytes(lambda: train_together(task, setting, runs, device=CPU, limit_s=60))
    assert 0.5 * len(runs) * one < all_of_them < 1.1 * len(runs) * one + TRACING
    n_parameters = sum(p.numel() for p in task.model(0).parameters())
    alone = cell_costs.cell_bytes(task, setting, cells[0].hyperparameters, cells[0].seed, device=CPU)
    assert 3 * 4 * n_parameters < alone < 2 * one


def test_a_container_has_less_than_the_machine(tmp_path: Path) -> None:
    assert container_free_bytes(tmp_path) == sys.maxsize
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 100\n")
    for limit, free in (("1000\n", 400), ("max\n", sys.maxsize), ("500\n", 0)):
        (tmp_path / "memory.max").write_text(limit)
        assert container_free_bytes(tmp_path) == free
    assert 0 < free_bytes(CPU) <= psutil.virtual_memory().total


def test_packs_share_the_memory_of_their_device() -> None:
    assert pack_bytes(8 * GIB, n_workers=4, gpus=0) == MEMORY_SHARE * 2 * GIB
    assert pack_bytes(80 * GIB, n_workers=8, gpus=0.25) == MEMORY_SHARE * 20 * GIB
    assert pack_bytes(80 * GIB, n_workers=1, gpus=2) == MEMORY_SHARE * 80 * GIB


@pytest.mark.parametrize(
    ("wanted", "share"),
    [(0, 1 / 4), (1, 1 / 4), (10 * GIB, 1 / 4), (11 * GIB, 1 / 3), (20 * GIB, 1 / 2), (40 * GIB, 1), (90 * GIB, 1)],
)
def test_a_pack_takes_the_part_of_a_gpu_that_has_room_for_it(wanted: int, share: float) -> None:
    assert MAX_PACKS_PER_GPU == 4
    assert gpu_share(wanted, 80 * GIB) == share
    assert wanted > 40 * GIB or pack_bytes(80 * GIB, n_workers=1, gpus=share) >= wanted
    assert gpu_share(1, 0) == 1


def test_a_device_that_has_no_more_memory_says_so_in_its_own_words() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        torch.empty(1 << 50)
    assert ran_out(caught.value)
    assert ran_out(MemoryError())
    assert ran_out(torch.OutOfMemoryError())
    assert not ran_out(RuntimeError("a size does not match"))
    give_back(CPU)


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="there is no accelerator")
def test_the_memory_of_an_accelerator_is_given_back() -> None:
    device = torch.device(torch.accelerator.current_accelerator() or "cpu")
    give_back(device)
    before = free_bytes(device)
    kept = torch.zeros(64 << 20, device=device)
    assert free_bytes(device) <= before - kept.nbytes
    del kept
    give_back(device)
    assert free_bytes(device) >= before
