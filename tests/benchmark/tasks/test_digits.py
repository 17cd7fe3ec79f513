from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmark.seeding import Stream, seeded_torch
from benchmark.tasks import load_task
from benchmark.tasks.digits import DigitsCNN, DigitsMLP

TASK = load_task("digits-mlp", {"hidden": 64})


def rows(split: Any) -> list[tuple[float, ...]]:
    images, labels = split
    return [(*image, label) for image, label in zip(images.flatten(1).tolist(), labels.tolist(), strict=True)]


@pytest.mark.parametrize("task", [DigitsMLP(), DigitsCNN()])
def test_splits_are_the_images_of_the_library(task: DigitsMLP | DigitsCNN) -> None:
    splits = task.splits(0)
    bunch = load_digits()
    every = [(*image, label) for image, label in zip((bunch.data / 16).tolist(), bunch.target.tolist(), strict=True)]
    together = [row for part in (splits.train, splits.validation, splits.test) for row in rows(part)]
    assert sorted(together) == sorted(every)
    assert splits.train[0].min() == 0
    assert splits.train[0].max() == 1


@pytest.mark.parametrize(
    ("params", "n_parameters"),
    [
        ({}, 64 * 64 + 64 + 640 + 10),
        ({"hidden": 3}, 64 * 3 + 3 + 30 + 10),
        ({"hidden": 3, "depth": 2}, 64 * 3 + 3 + 12 + 30 + 10),
    ],
)
def test_the_mlp_has_its_size(params: dict[str, int], n_parameters: int) -> None:
    model = DigitsMLP(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters


@pytest.mark.parametrize(
    ("params", "n_parameters"),
    [
        ({}, 9 * 16 + 2 * 16 + 9 * 16 * 32 + 2 * 32 + 128 * 10 + 10),
        ({"norm": "group"}, 9 * 16 + 2 * 16 + 9 * 16 * 32 + 2 * 32 + 128 * 10 + 10),
        ({"norm": "none", "channels": 3}, 9 * 3 + 3 + 9 * 3 * 6 + 6 + 24 * 10 + 10),
        ({"norm": "group", "channels": 3}, 9 * 3 + 2 * 3 + 9 * 3 * 6 + 2 * 6 + 24 * 10 + 10),
    ],
)
def test_the_cnn_has_its_size(params: dict[str, Any], n_parameters: int) -> None:
    model = DigitsCNN(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters
    assert model(torch.zeros(5, 1, 8, 8)).shape == (5, 10)


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm), ("none", nn.Identity)])
def test_the_cnn_has_the_norm_it_is_asked_for(norm: str, kind: type[nn.Module]) -> None:
    modules = list(DigitsCNN({"norm": norm}).model(0).modules())
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d | nn.GroupNorm)]
    assert [type(module) for module in norms] == ([] if norm == "none" else [kind, kind])
    assert DigitsCNN({"norm": norm}).can_fuse is (norm != "batch")


@pytest.mark.slow
def test_scores_of_untrained_networks_are_start() -> None:
    """The untrained network of any seed lies inside `start`, up to the one in a hundred that its percentile leaves."""
    n_outside = 0
    for seed in range(1_000, 1_100):
        with seeded_torch(seed, Stream.INIT), torch.no_grad():
            scores = TASK.evaluate(TASK.model(seed), TASK.splits(seed).test)
        n_outside += not TASK.has_collapsed(0.0, {"accuracy": scores["accuracy"].item()})
    assert n_outside <= 5
