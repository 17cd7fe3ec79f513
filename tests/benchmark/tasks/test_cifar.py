import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmark.errors import TaskDataError
from benchmark.records import Outcome, Status
from benchmark.seeding import Stream, seeded_torch
from benchmark.spec import Spec, expand
from benchmark.tasks import cifar, task_class
from benchmark.tasks.cifar import CIFAR10ResNet18
from benchmark.training import train
from tests.benchmark.toys import CPU
from tests.benchmark.vision import write_cifar, write_resnet

pytestmark = pytest.mark.slow

SMALL = {"width": 2}


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path))
    return tmp_path


def initialised(task: CIFAR10ResNet18, seed: int = 0) -> nn.Module:
    with seeded_torch(seed, Stream.INIT):
        return task.model(seed)


def test_the_files_are_read_as_they_are(datasets: Path) -> None:
    folder = write_cifar(datasets, n=40, n_test=30)
    images, labels = CIFAR10ResNet18().examples()
    assert images.shape == (230, 3, 32, 32)
    second = np.frombuffer((folder / "data_batch_2.bin").read_bytes(), dtype=np.uint8)
    assert labels[40] == second[0]
    assert images[40, 0, 0].tolist() == second[1:33].tolist(), "the first row of red comes first"
    assert images[40, 2, 31, 31] == second[3072]
    test = np.frombuffer((folder / "test_batch.bin").read_bytes(), dtype=np.uint8)
    assert labels[-30:].tolist() == test[::3073].tolist()


def test_every_seed_has_the_splits_of_the_files(datasets: Path) -> None:
    write_cifar(datasets, n=40, n_test=30)
    task = CIFAR10ResNet18(SMALL)
    images, labels = task.examples()
    for seed in (0, 3):
        splits = task.splits(seed)
        assert [len(split[1]) for split in (splits.train, splits.validation, splits.test)] == [180, 20, 30]
        np.testing.assert_array_equal(splits.validation[0], images[180:200])
        np.testing.assert_array_equal(splits.test[1], labels[200:])
        assert splits.train[0].dtype == torch.uint8


def test_seeds_share_what_is_large_unless_it_is_drawn(datasets: Path) -> None:
    write_cifar(datasets, n=40, n_test=30)
    same, drawn = CIFAR10ResNet18(SMALL), CIFAR10ResNet18({**SMALL, "label_noise": 0.5})
    assert same.data(0, CPU) is same.data(1, CPU)
    assert not torch.equal(drawn.data(0, CPU).train[1], drawn.data(1, CPU).train[1])


def test_a_resnet_18_has_its_size_and_a_stem_for_small_images(datasets: Path) -> None:
    network = initialised(CIFAR10ResNet18())
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_173_962
    shapes: list[torch.Size] = []
    stem = network.get_submodule("network.resnet.embedder")
    stem.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert shapes == [(2, 64, 32, 32)]


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_normalisation_is_the_one_asked_for(norm: str, kind: type[nn.Module]) -> None:
    layers = list(initialised(CIFAR10ResNet18({**SMALL, "norm": norm})).modules())
    assert sum(isinstance(layer, kind) for layer in layers) == 20
    assert sum(isinstance(layer, nn.BatchNorm2d | nn.GroupNorm) for layer in layers) == 20


def test_images_are_normalised_in_the_model(datasets: Path) -> None:
    network = initialised(CIFAR10ResNet18(SMALL)).eval()
    seen: list[torch.Tensor] = []
    network.get_submodule("network.resnet.embedder").register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )
    network(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    expected = [(1 - mean) / sd for mean, sd in zip((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), strict=True)]
    assert seen[0][0, :, 5, 7].tolist() == pytest.approx(expected)


def test_scores_do_not_depend_on_how_a_split_is_cut(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(datasets, n=20, n_test=50)
    task = CIFAR10ResNet18(SMALL)
    network, (images, labels) = initialised(task).eval(), task.splits(0).test
    with torch.no_grad():
        logits = network(images)
        monkeypatch.setattr(cifar, "IMAGES_AT_ONCE", 7)
        scores = task.evaluate(network, (images, labels))
    assert scores["accuracy"].item() == pytest.approx((logits.argmax(dim=1) == labels).double().mean().item())
    assert scores["loss"].item() == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-4)


def run_cell(params: dict[str, Any], *, lr: float = 0.05, epochs: int = 8) -> Outcome:
    spec = Spec.from_mapping(
        {
            "name": "cifar",
            "tasks": [{"name": "cifar10-resnet18", "params": params}],
            "budget": {"epochs": epochs, "batch_size": 16},
            "base": {"name": "sgd", "momentum": 0.9},
            "optimizers": [{"name": "msam", "fixed": {"rho": 0.02}}],
            "gd": False,
            "space": {"lr": {"values": [lr]}},
            "seeds": {"count": 1},
        }
    )
    (cell,) = expand(spec)
    task = CIFAR10ResNet18(cell.setting.task_params)
    return train(task, cell.setting, cell.hyperparameters, cell.seed, device=CPU, limit_s=math.inf)


def test_a_network_from_scratch_learns(datasets: Path) -> None:
    write_cifar(datasets)
    outcome = run_cell({"width": 4})
    assert outcome.status is Status.COMPLETED
    assert not outcome.collapsed
    assert outcome.metrics["test_accuracy"] > 0.5


def test_a_network_from_a_folder_is_that_of_the_folder(datasets: Path) -> None:
    from safetensors.torch import load_file

    write_cifar(datasets)
    folder = write_resnet(datasets, "mine")
    task = CIFAR10ResNet18({"start": "pretrained", "weights": "mine"})
    kept = load_file(folder / "model.safetensors")
    state = initialised(task, 3).state_dict()
    assert all(torch.equal(state[f"network.{name}"], value) for name, value in kept.items())
    assert run_cell({"start": "pretrained", "weights": "mine"}).status is Status.COMPLETED


def test_a_network_of_other_classes_gets_a_new_head_and_larger_images(datasets: Path) -> None:
    write_resnet(datasets, "photos", n_classes=7)
    network = initialised(CIFAR10ResNet18({"start": "pretrained", "weights": "photos", "side": 64}))
    shapes: list[torch.Size] = []
    network.get_submodule("network.resnet.embedder").register_forward_pre_hook(
        lambda _module, inputs: shapes.append(inputs[0].shape)
    )
    assert network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 10)
    assert shapes == [(2, 3, 64, 64)]


def test_colours_are_scaled_as_the_folder_says(datasets: Path) -> None:
    folder = write_resnet(datasets, "photos")
    shades = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(shades), encoding="utf-8")
    network = initialised(CIFAR10ResNet18({"start": "pretrained", "weights": "photos"}))
    seen: list[torch.Tensor] = []
    network.get_submodule("network.resnet.embedder").register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )
    network(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert tuple(map(float, seen[0].aminmax())) == (2.0, 2.0)  # (1 - .5) / .25
    (folder / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TaskDataError, match=r"preprocessor_config\.json must have image_mean and image_std"):
        CIFAR10ResNet18({"start": "pretrained", "weights": "photos"}).model(0)


def test_weights_are_part_of_the_version(datasets: Path) -> None:
    write_cifar(datasets)
    write_resnet(datasets, "one")
    write_resnet(datasets, "other", seed=1)
    scratch = CIFAR10ResNet18().data_version
    versions = {CIFAR10ResNet18({"start": "pretrained", "weights": name}).data_version for name in ("one", "other")}
    assert len({scratch, *versions}) == 3
    assert CIFAR10ResNet18({"width": 3}).data_version == scratch


def test_missing_images_say_what_to_put_where(datasets: Path) -> None:
    with pytest.raises(TaskDataError, match=r"data_batch_1\.bin must be a file of CIFAR-10.*cifar-10-binary\.tar\.gz"):
        CIFAR10ResNet18().splits(0)
    write_cifar(datasets)
    assert len(CIFAR10ResNet18().splits(0).train[1]) == 180, "an error is not remembered"


@pytest.mark.parametrize("content", [b"", b"abc", bytes([10] * 3073), bytes(3074)])
def test_a_file_that_is_none_of_cifar_is_named(datasets: Path, content: bytes) -> None:
    (write_cifar(datasets) / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(TaskDataError, match=r"data_batch_3\.bin must be a file of CIFAR-10: examples of 3,073 bytes"):
        CIFAR10ResNet18().splits(0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": "pretrained", "weights": "none"}, r"models/none must hold the weights.*save_pretrained"),
        ({"start": "bad-minimum", **SMALL}, r"Run `rhobust build bad-minimum --width 2 --norm batch`"),
    ],
)
def test_missing_weights_say_what_to_do(datasets: Path, params: dict[str, Any], message: str) -> None:
    write_cifar(datasets)
    with pytest.raises(TaskDataError, match=message):
        _ = CIFAR10ResNet18(params).data_version
    with pytest.raises(TaskDataError, match=message):
        CIFAR10ResNet18(params).model(0)


def test_weights_that_would_be_unpickled_are_not_taken(datasets: Path) -> None:
    folder = write_resnet(datasets, "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(TaskDataError, match=r"has no model\.safetensors"):
        CIFAR10ResNet18({"start": "pretrained", "weights": "pickled"}).model(0)


def test_a_folder_that_is_no_resnet_is_named(datasets: Path) -> None:
    folder = write_resnet(datasets, "broken")
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(TaskDataError, match="broken must hold a ResNet as transformers keeps it"):
        CIFAR10ResNet18({"start": "pretrained", "weights": "broken"}).model(0)


def test_an_extra_that_is_missing_is_named(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(datasets)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for fails in (lambda: CIFAR10ResNet18().data_version, lambda: CIFAR10ResNet18().model(0)):
        with pytest.raises(TaskDataError, match=r"cifar10-resnet18 needs.*pip install 'rhobust\[vision\]'"):
            fails()
    assert len(CIFAR10ResNet18().splits(0).train) == 2, "to read the images nothing of it is needed"


@pytest.mark.parametrize(
    ("train_loss", "score", "collapsed"),
    [(2.29, 0.5, True), (1.0, 0.106, True), (1.0, 0.108, False), (0.0, 0.95, False)],
)
def test_collapsed_is_a_guess(train_loss: float, score: float, collapsed: bool) -> None:
    assert CIFAR10ResNet18().has_collapsed(train_loss, {"accuracy": score, "loss": 1.0}) is collapsed


def test_what_a_task_declares() -> None:
    assert task_class("cifar10-resnet18") is CIFAR10ResNet18
    assert not CIFAR10ResNet18().can_fuse
    params, problems = CIFAR10ResNet18.parse_params({})
    assert (params["start"], params["norm"], params["width"], problems) == ("scratch", "batch", 64, [])
    _, problems = CIFAR10ResNet18.parse_params({"start": "good-minimum", "weights": "../secret", "side": 16})
    assert sorted(problem.pointer for problem in problems) == ["/side", "/start", "/weights"]
