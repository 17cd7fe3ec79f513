import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

from benchmark.tasks import load_task
from benchmark.tasks.breast_cancer import BreastCancerMLP

TASK = load_task("breast-cancer-mlp")


@pytest.mark.parametrize("params", [{}, {"train_share": 0.1, "label_noise": 0.3}])
def test_measurements_are_scaled_by_the_whole_training_split_of_the_seed(params: dict[str, float]) -> None:
    task = BreastCancerMLP(params)
    data = load_breast_cancer().data
    train, validation, test = task.indices(4)
    mean, sd = data[train].mean(axis=0), data[train].std(axis=0)
    splits = task.splits(4)
    for (features, _), index in ((splits.validation, validation), (splits.test, test)):
        np.testing.assert_allclose(features, (data[index] - mean) / sd, rtol=1e-4, atol=1e-5)
    if not params:
        np.testing.assert_allclose(splits.train[0].double().mean(dim=0), 0, atol=1e-5)
        np.testing.assert_allclose(splits.train[0].double().std(dim=0, correction=0), 1, rtol=1e-5)


def test_chance_is_the_share_of_the_larger_class() -> None:
    assert TASK.chance("accuracy") == pytest.approx(357 / 569)
    benign = torch.tensor([0.0, 1.0])
    for split in (TASK.splits(0).validation, TASK.splits(0).test):
        accuracy = TASK.evaluate(lambda inputs: benign.expand(len(inputs), -1), split)["accuracy"].item()
        assert accuracy == pytest.approx(357 / 569, abs=0.005)


def test_noise_between_two_classes_turns_labels_over() -> None:
    clean, noisy = TASK.splits(0).train[1], BreastCancerMLP({"label_noise": 0.4}).splits(0).train[1]
    assert int((clean + noisy == 1).sum()) == round(0.4 * 341)


@pytest.mark.slow
def test_untrained_networks_are_often_good_by_luck() -> None:
    """All measurements grow with malignancy, so a random direction tells much: what has collapsed is found by start."""
    assert 0.85 < np.quantile(TASK.start["accuracy"], 0.99) < 0.95
    assert TASK.start["accuracy"].std() > 0.1


def test_the_network_has_its_size() -> None:
    parameters = BreastCancerMLP({"hidden": 3, "depth": 2}).model(0).parameters()
    assert sum(parameter.numel() for parameter in parameters) == 30 * 3 + 3 + 9 + 3 + 6 + 2
