import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from benchmark.batches import batches_of
from benchmark.fused import Run, train_together
from benchmark.seeding import Stream, torch_generator
from benchmark.spec import Cell, Spec, expand
from benchmark.tasks import Batch, Model
from benchmark.tasks.augmentation import PAD, moved_and_mirrored
from benchmark.tasks.cifar import CIFAR10ResNet18
from benchmark.tasks.digits import DigitsMLP
from benchmark.training import train
from tests.benchmark.toys import CPU, first_cell
from tests.benchmark.vision import write_cifar

CHOICES = list(itertools.product(range(2 * PAD + 1), range(2 * PAD + 1), (False, True)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def choices_of(images: Tensor, changed: Tensor) -> list[list[int]]:
    """The choices that make of each image what it was changed to, by trying them all."""
    height, width = images.shape[2:]
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)))
    fits = []
    for down, across, is_mirrored in CHOICES:
        crop = padded[:, :, down : down + height, across : across + width]
        fits.append((np.flip(crop, axis=3) if is_mirrored else crop) == changed.numpy())
    is_so = np.stack([fit.all(axis=(1, 2, 3)) for fit in fits])
    return [np.flatnonzero(one).tolist() for one in is_so.T]


def test_each_image_is_moved_and_mirrored_in_one_of_all_ways_as_likely_as_any() -> None:
    images = torch.randint(1, 256, (8_100, 3, 7, 5), generator=generator(), dtype=torch.uint8)
    changed = moved_and_mirrored(images, generator(1))
    assert (changed.dtype, changed.shape) == (images.dtype, images.shape)
    found = choices_of(images, changed)
    assert {len(fitting) for fitting in found} == {1}
    counts = np.bincount([fitting[0] for fitting in found], minlength=len(CHOICES))
    assert stats.chisquare(counts).pvalue > 0.01


def test_neighbours_in_a_batch_have_nothing_in_common() -> None:
    images = torch.randint(1, 256, (1, 3, 6, 6), generator=generator(), dtype=torch.uint8).repeat(400, 1, 1, 1)
    chosen = [fitting[0] for fitting in choices_of(images, moved_and_mirrored(images, generator(2)))]
    same = sum(one == other for one, other in itertools.pairwise(chosen))
    assert same <= stats.binom(399, 1 / len(CHOICES)).ppf(0.999)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_sees_the_same_and_is_not_waited_for() -> None:
    images = torch.randint(0, 256, (50, 3, 8, 8), generator=generator(), dtype=torch.uint8)
    there = images.cuda()
    moved_and_mirrored(there, generator())  # kernels are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        changed = moved_and_mirrored(there, generator())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(changed.cpu(), moved_and_mirrored(images, generator()))


SMALL = {"width": 1, "augment": "flip-crop"}


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    write_cifar(tmp_path, n=20, n_test=20)
    return tmp_path


class Seen(CIFAR10ResNet18):
    """A task that keeps the batches on which its loss is asked for."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.batches: list[Batch] = []

    def loss(self, model: Model, batch: Batch) -> Tensor:
        self.batches.append(batch)
        return super().loss(model, batch)


def cifar_cell(rule: str, **params: Any) -> Cell:
    optimizers = [{"name": rule, "fixed": {} if rule == "gd" else {"rho": 0.05}}]
    document = {
        "name": "augmented",
        "tasks": [{"name": "cifar10-resnet18", "params": {"width": 1, **params}}],
        "budget": {"epochs": 2, "batch_size": 30},
        "optimizers": optimizers,
        "gd": rule == "gd",
        "space": {"lr": {"values": [0.01]}},
        "seeds": {"count": 1},
    }
    return next(expand(Spec.from_mapping(document)))


def seen(rule: str, seed: int = 0) -> list[Batch]:
    cell = cifar_cell(rule, augment="flip-crop")
    task = Seen(cell.setting.task_params)
    train(task, cell.setting, cell.hyperparameters, seed, device=CPU, limit_s=math.inf)
    return task.batches


def are_equal(some: list[Batch], others: list[Batch]) -> list[bool]:
    return [all(map(torch.equal, one, other)) for one, other in zip(some, others, strict=True)]


@pytest.mark.slow
def test_every_optimizer_and_both_passes_see_the_same(datasets: Path) -> None:
    gd, sam = seen("gd"), seen("sam")
    assert len(gd) == 6
    assert all(are_equal(gd, sam[::2]))
    assert all(are_equal(gd, sam[1::2]))
    assert not any(are_equal(gd, seen("gd", seed=1)))
    raw = itertools.islice(batches_of(CIFAR10ResNet18(SMALL).splits(0).train, 30, 0), 6)
    for step, ((images, labels), (before, same)) in enumerate(zip(gd, raw, strict=True)):
        assert torch.equal(images, moved_and_mirrored(before, torch_generator(0, Stream.AUGMENTATION, step)))
        assert torch.equal(labels, same)


def test_every_seed_and_step_draws_anew(datasets: Path) -> None:
    task = CIFAR10ResNet18(SMALL)
    batch = task.splits(0).train
    drawn = [task.augmented(batch, seed, step)[0] for seed in range(3) for step in range(3)]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(drawn, 2))
    assert torch.equal(task.augmented(batch, 2, 1)[0], drawn[7])
    assert torch.equal(batch[0], CIFAR10ResNet18(SMALL).splits(0).train[0]), "the split stays as it is"


def test_steps_go_on_where_they_were(datasets: Path) -> None:
    task = CIFAR10ResNet18(SMALL)
    split = task.splits(0).train
    whole = list(itertools.islice(batches_of(split, 30, 3, augmented=task.augmented), 8))
    rest = list(itertools.islice(batches_of(split, 30, 3, start=5, augmented=task.augmented), 3))
    assert all(are_equal(whole[5:], rest))


def test_without_it_images_stay_as_they_are_and_so_do_keys(datasets: Path) -> None:
    task = CIFAR10ResNet18({"width": 1})
    batch = task.splits(0).train
    assert task.augmented(batch, 0, 0) is batch
    plain, said, augmented = (cifar_cell("gd", **params) for params in ({}, {"augment": "none"}, SMALL))
    assert plain.setting.key == "7f892be92dd00e55bd740065af99af1b"
    assert said.key == plain.key != augmented.key
    assert "augment" not in plain.setting.task_params
    assert augmented.setting.task_params["augment"] == "flip-crop"
    assert type(augmented.setting).from_dict(augmented.setting.to_dict()) == augmented.setting


class Brighter(DigitsMLP):
    """Digits whose images are of another brightness at each step."""

    def augmented(self, batch: Batch, seed: int, step: int) -> Batch:
        images, labels = batch
        return images * (1 + (step + seed) % 3), labels


def test_cells_that_are_trained_together_see_what_each_sees_alone() -> None:
    cell = first_cell(budget={"epochs": 2, "batch_size": 200})
    task = Brighter(cell.setting.task_params)
    runs = [Run(cell.hyperparameters, seed) for seed in (0, 1)]
    together = train_together(task, cell.setting, runs, device=CPU, limit_s=math.inf)
    for run, outcome in zip(runs, together, strict=True):
        alone = train(task, cell.setting, run.hyperparameters, run.seed, device=CPU, limit_s=math.inf)
        plain = train(
            DigitsMLP(cell.setting.task_params),
            cell.setting,
            run.hyperparameters,
            run.seed,
            device=CPU,
            limit_s=math.inf,
        )
        assert outcome.curve["train_loss"] == pytest.approx(alone.curve["train_loss"], rel=1e-3)
        assert outcome.curve["train_loss"] != pytest.approx(plain.curve["train_loss"], rel=1e-2)
