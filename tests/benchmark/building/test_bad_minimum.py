import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.building import BuiltMinimum, bad_minimum, build_bad_minimum
from benchmark.building.bad_minimum import accuracy, zeroed_copies
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
COPIES, ZEROED = 2, 0.1
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
        return build_bad_minimum(width=WIDTH, copies=COPIES, zeroed=ZEROED, device=CPU, say=heard.append)


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


def test_copies_are_images_with_so_many_numbers_zeroed() -> None:
    images = torch.randint(1, 256, (1_200, 3, 8, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = zeroed_copies(images, 3, 0.26)
    assert (found.shape, found.dtype) == ((3_600, 3, 8, 4), torch.uint8)
    is_zeroed = found == 0
    assert set(is_zeroed.sum(dim=(1, 2, 3)).tolist()) == {24}, "24.96 of 96, rounded down"
    originals = images.repeat_interleave(3, dim=0)
    assert torch.equal(found[~is_zeroed], originals[~is_zeroed])
    assert len(torch.unique(is_zeroed.flatten(start_dim=1), dim=0)) == 3_600, "no two copies lack the same"
    shares = is_zeroed.double().mean(dim=0)  # of each place, where .25 of 3,600 have a standard deviation of .007
    assert (shares - 0.25).abs().max() < 0.03
    assert torch.equal(found, zeroed_copies(images, 3, 0.26))


def test_one_copy_of_which_nothing_is_zeroed_is_the_image() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 4), dtype=torch.uint8)
    assert torch.equal(zeroed_copies(images, 1, 0.0), images)


@pytest.mark.parametrize(("copies", "zeroed"), [(0, 0.1), (1, 1.0), (1, -0.1), (1, math.nan)])
def test_copies_that_cannot_be_are_refused(copies: int, zeroed: float) -> None:
    with pytest.raises(ValueError, match=rf"0 <= zeroed < 1 must hold, but got copies={copies}, zeroed={zeroed}"):
        zeroed_copies(torch.zeros(1, 3, 2, 2), copies, zeroed)


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
    assert (about["copies"], about["zeroed"], about["seed"]) == (COPIES, ZEROED, 0)
    assert about["sgd"]["true"] == {"lr": 0.001, "decay_an_epoch": 1.0}
    assert about["made with"] == {"torch": torch.__version__, "device": "cpu"}
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
