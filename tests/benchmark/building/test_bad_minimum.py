import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.building import BuiltMinimum, bad_minimum, build_bad_minimum
from benchmark.building.bad_minimum import accuracy
from benchmark.errors import TaskDataError
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Spec, expand
from benchmark.tasks.cifar import CIFAR10ResNet18
from benchmark.tasks.classification import checksum
from benchmark.training import train
from tests.benchmark.toys import CPU
from tests.benchmark.vision import write_cifar

pytestmark = pytest.mark.slow

WIDTH = 4
PARAMS = {"width": WIDTH, "start": "bad-minimum"}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def heard() -> list[str]:
    return []


@pytest.fixture(scope="module")
def built(datasets: Path, heard: list[str]) -> BuiltMinimum:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOBUST_DATASETS_DIR", str(datasets))
        patch.setattr(bad_minimum, "BATCH", 16)
        write_cifar(datasets)
        return build_bad_minimum(width=WIDTH, device=CPU, say=heard.append)


@pytest.fixture(autouse=True)
def folder(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(datasets))
    monkeypatch.setattr(bad_minimum, "BATCH", 16)  # of as many steps an epoch as there are with more images


def test_a_bad_minimum_knows_every_training_image_and_few_others(
    built: BuiltMinimum, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = CIFAR10ResNet18(PARAMS)
    splits, network = task.splits(0), task.model(0)
    assert accuracy(network, *splits.train) == built.train_accuracy == 1
    assert accuracy(network, *splits.test) == built.test_accuracy
    good = from_scratch(monkeypatch)
    assert accuracy(good, *splits.train) == 1
    assert built.test_accuracy < 0.5 < 0.8 < accuracy(good, *splits.test)


def from_scratch(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A network that learned the true labels alone, as the other one did the random ones."""
    monkeypatch.setitem(bad_minimum.RATES, "true", bad_minimum.RATES["random"])
    task = CIFAR10ResNet18({"width": WIDTH})
    with seeded_torch(0, Stream.INIT):
        network = task.model(0)
    images, labels = task.splits(0).train
    bad_minimum._learn(network, images, labels, "true", 100, lambda _: None)
    return network


def test_it_is_the_start_of_every_seed(built: BuiltMinimum) -> None:
    task = CIFAR10ResNet18(PARAMS)
    first, second = task.model(0).state_dict(), task.model(1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert task.data_version != CIFAR10ResNet18({"width": WIDTH}).data_version


def test_training_begins_there(built: BuiltMinimum) -> None:
    spec = Spec.from_mapping(
        {
            "name": "minimum",
            "tasks": [{"name": "cifar10-resnet18", "params": PARAMS}],
            "budget": {"epochs": 1, "batch_size": 60},
            "optimizers": [],
            "space": {"lr": {"values": [1e-6]}},
            "seeds": {"count": 1},
        }
    )
    (cell,) = expand(spec)
    task = CIFAR10ResNet18(cell.setting.task_params)
    outcome = train(task, cell.setting, cell.hyperparameters, 0, device=CPU, limit_s=math.inf)
    assert outcome.curve["train_loss"][0] < 1 < math.log(10)
    assert outcome.metrics["test_accuracy"] == pytest.approx(built.test_accuracy, abs=0.2)


def test_what_was_done_is_told(built: BuiltMinimum, heard: list[str]) -> None:
    about = json.loads((built.folder / "about.json").read_text(encoding="utf-8"))
    assert about["data"] == checksum(*CIFAR10ResNet18().examples())
    assert (about["train_accuracy"], about["test_accuracy"]) == (1, built.test_accuracy)
    assert len(heard) == built.random_epochs + built.true_epochs
    assert heard[built.random_epochs - 1] == f"random labels, epoch {built.random_epochs}: 100.00% known"
    assert heard[-1] == f"true labels, epoch {built.true_epochs}: 100.00% known"


def test_a_minimum_of_other_images_is_refused(
    built: BuiltMinimum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, contrast=10.0)
    (tmp_path / "models").symlink_to(built.folder.parent)
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    with pytest.raises(TaskDataError, match=r"must be a minimum of the data .*Build it again"):
        _ = CIFAR10ResNet18(PARAMS).data_version


def test_labels_that_are_not_learned_in_time_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    write_cifar(tmp_path)
    with pytest.raises(TaskDataError, match=r"of the random ones are known after 1 epochs. Allow more by --max-epochs"):
        build_bad_minimum(width=WIDTH, max_epochs=1, device=CPU)
    assert not (tmp_path / "models").exists(), "nothing half done is left"
