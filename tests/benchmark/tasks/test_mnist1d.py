import importlib.metadata
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import TaskDataError
from benchmark.tasks import mnist1d
from benchmark.tasks.mnist1d import MNIST1DCNN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOBUST_CACHE_DIR", str(folder))
        mnist1d._mnist1d.cache_clear()
        MNIST1DCNN().examples()
        yield folder


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if nothing had been loaded yet, and the package could not be."""
    mnist1d._mnist1d.cache_clear()
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    yield monkeypatch
    mnist1d._mnist1d.cache_clear()


def test_the_signals_are_those_of_the_paper() -> None:
    """The first and last numbers of the file that the authors publish."""
    signals, labels = MNIST1DCNN().examples()
    assert signals.shape == (5000, 1, 40)
    np.testing.assert_allclose(signals[0, 0, :4], [-0.332, -0.4719, -0.7787, -1.0097], atol=1e-4)
    np.testing.assert_allclose(signals[-1, 0, -4:], [0.4472, 0.6599, 0.8777, 1.1932], atol=1e-4)
    assert labels[:10].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
    assert labels[-5:].tolist() == [2, 5, 9, 6, 4]
    assert np.bincount(labels).tolist() == [500] * 10
    assert signals.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert signals.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_every_seed_is_tested_on_the_test_data_of_the_paper() -> None:
    first, second = MNIST1DCNN().splits(0), MNIST1DCNN().splits(1)
    signals, labels = MNIST1DCNN().examples()
    for splits in (first, second):
        np.testing.assert_array_equal(splits.test[0], signals[4000:])
        np.testing.assert_array_equal(splits.test[1], labels[4000:])
    assert not torch.equal(first.validation[0], second.validation[0])


def test_making_them_leaves_the_global_generators_alone() -> None:
    random.seed(3)
    np.random.seed(3)
    ours, numpys = random.getstate(), np.random.get_state()
    mnist1d._generate()
    assert random.getstate() == ours
    for got, expected in zip(np.random.get_state(), numpys, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("params", "n_parameters"), [({}, 5210), ({"channels": 2}, 12 + 14 + 14 + 110)])
def test_the_network_has_its_size(params: dict[str, int], n_parameters: int) -> None:
    model = MNIST1DCNN(params).model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters
    assert model(torch.zeros(3, 1, 40)).shape == (3, 10)


def test_another_process_reads_them_from_the_cache(new_process: pytest.MonkeyPatch, cache: Path) -> None:
    assert [file.suffix for file in cache.iterdir()] == [".npz"]
    assert MNIST1DCNN().data_version == "f7e6b4ae17666120"


def test_a_package_that_is_missing_is_named(new_process: pytest.MonkeyPatch, tmp_path: Path) -> None:
    new_process.setenv("RHOBUST_CACHE_DIR", str(tmp_path))
    with pytest.raises(TaskDataError, match="Run `pip install mnist1d`"):
        MNIST1DCNN().splits(0)
    new_process.delitem(sys.modules, "mnist1d.data")
    assert len(MNIST1DCNN().splits(0).train[1]) == 3200, "an error is not remembered"


def test_a_package_without_a_version_is_missing(new_process: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    new_process.setattr(importlib.metadata, "version", version)
    with pytest.raises(TaskDataError, match="Run `pip install mnist1d`"):
        MNIST1DCNN().splits(0)


def test_a_damaged_file_is_named(new_process: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    (kept,) = cache.iterdir()
    damaged = tmp_path / kept.name
    damaged.write_bytes(kept.read_bytes()[:-1])
    new_process.setenv("RHOBUST_CACHE_DIR", str(tmp_path))
    with pytest.raises(TaskDataError, match=rf"{damaged}\. Delete this file"):
        MNIST1DCNN().splits(0)
