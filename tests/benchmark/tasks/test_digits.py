import math
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmark.seeding import Stream, seeded_torch
from benchmark.tasks import Task, load_task
from benchmark.tasks.digits import DigitsMLP

TASK = load_task("digits-mlp", {"hidden": 64})
SIZES = {"train": 1078, "validation": 359, "test": 360}


def rows(split: Any) -> list[tuple[float, ...]]:
    images, labels = split
    return [(*image, label) for image, label in zip(images.tolist(), labels.tolist(), strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_splits_are_disjoint_stratified_and_whole(seed: int) -> None:
    splits = TASK.splits(seed)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    bunch = load_digits()
    every = [(*image, label) for image, label in zip((bunch.data / 16).tolist(), bunch.target.tolist(), strict=True)]
    together = [row for part in parts.values() for row in rows(part)]
    assert sorted(together) == sorted(every)
    assert {name: len(part[1]) for name, part in parts.items()} == SIZES
    shares = torch.bincount(torch.from_numpy(bunch.target)) / len(every)
    for _, labels in parts.values():
        assert torch.allclose(torch.bincount(labels) / len(labels), shares.float(), atol=0.005)
        assert labels.dtype == torch.int64


def test_splits_depend_on_the_seed_alone() -> None:
    other = DigitsMLP({"hidden": 8})
    first, again, second = TASK.splits(0), other.splits(0), TASK.splits(1)
    assert torch.equal(first.train[0], again.train[0])
    assert not torch.equal(first.train[0], second.train[0])
    assert first.train[0].min() == 0
    assert first.train[0].max() == 1


@pytest.mark.parametrize(
    ("params", "n_parameters"),
    [
        ({}, 64 * 64 + 64 + 640 + 10),
        ({"hidden": 3}, 64 * 3 + 3 + 30 + 10),
        ({"hidden": 3, "depth": 2}, 64 * 3 + 3 + 12 + 30 + 10),
    ],
)
def test_the_network_has_its_size(params: dict[str, int], n_parameters: int) -> None:
    model = DigitsMLP(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters


def test_scores_by_hand() -> None:
    model = nn.Linear(64, 10)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([1.0] + [0.0] * 9))
    batch = (torch.zeros(4, 64), torch.tensor([0, 0, 0, 5]))
    scores = {name: value.item() for name, value in TASK.evaluate(model, batch).items()}
    loss = math.log(math.e + 9)
    assert scores == pytest.approx({"accuracy": 0.75, "loss": loss - 0.75})
    assert TASK.loss(model, batch).item() == pytest.approx(loss - 0.75)


def test_scores_of_untrained_networks_are_start() -> None:
    """The untrained network of any seed lies inside `start`, up to the one in a hundred that its percentile leaves."""
    n_outside = 0
    for seed in range(1_000, 1_100):
        with seeded_torch(seed, Stream.INIT), torch.no_grad():
            scores = TASK.evaluate(TASK.model(seed), TASK.splits(seed).test)
        n_outside += not TASK.has_collapsed(0.0, {"accuracy": scores["accuracy"].item()})
    assert n_outside <= 5


@pytest.mark.parametrize(
    ("train_loss", "accuracy", "collapsed"),
    [(0.1, 0.9, False), (0.1, 0.1, True), (2.29, 0.9, True), (2.27, 0.9, False), (1e9, 0.9, True)],
)
def test_collapsed_is_a_loss_at_chance_or_an_accuracy_of_untrained_networks(
    train_loss: float, accuracy: float, collapsed: bool
) -> None:
    assert TASK.has_collapsed(train_loss, {"accuracy": accuracy}) is collapsed


def test_the_data_has_not_changed() -> None:
    assert TASK.data_version == "8b3b6ae90863430b"


def test_what_a_task_declares() -> None:
    assert issubclass(DigitsMLP, Task)
    assert [(metric.name, metric.goal) for metric in DigitsMLP.metrics] == [
        ("accuracy", "maximize"),
        ("loss", "minimize"),
    ]
    assert DigitsMLP.metrics[1].chance == pytest.approx(math.log(10))
    assert DigitsMLP.version == 1
