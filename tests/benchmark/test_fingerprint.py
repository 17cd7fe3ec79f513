import shutil
from pathlib import Path

import pytest
import torch

import benchmark
from benchmark.execution import cell_fingerprint
from benchmark.fingerprint import Fingerprint, fingerprint, source_hash
from benchmark.tasks import load_task
from tests.benchmark.toys import CPU, first_cell

ROOT = Path(benchmark.__file__).parents[1]


def test_every_part_counts() -> None:
    version = load_task("digits-mlp").data_version
    usual = fingerprint("digits-mlp", "sam", version, device=CPU, precision="fp32", execution="sequential")
    others = [
        fingerprint(
            "digits-mlp", "sam", version, device=torch.device("meta"), precision="fp32", execution="sequential"
        ),
        fingerprint("digits-mlp", "sam", version, device=CPU, precision="bf16", execution="sequential"),
        fingerprint("digits-mlp", "sam", version, device=CPU, precision="fp32", execution="fused"),
        Fingerprint(**{**usual.to_dict(), "torch": "1.0"}),
        Fingerprint(**{**usual.to_dict(), "numpy": "1.0"}),
        Fingerprint(**{**usual.to_dict(), "data": "other"}),
        Fingerprint(**{**usual.to_dict(), "source": "other"}),
    ]
    assert len({one.key for one in (usual, *others)}) == len(others) + 1
    assert usual == fingerprint("digits-mlp", "sam", version, device=CPU, precision="fp32", execution="sequential")
    assert usual.torch == torch.__version__
    assert cell_fingerprint(first_cell(), CPU) == usual


def test_the_number_of_a_device_does_not_count() -> None:
    keys = {
        fingerprint(
            "digits-mlp", "sam", "1", device=torch.device("cuda", index), precision="fp32", execution="fused"
        ).key
        for index in range(2)
    }
    assert len(keys) == 1


def test_a_source_file_counts_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        shutil.copytree(ROOT / "benchmark" / "tasks", tmp_path / name / "copied")
        shutil.copytree(ROOT / "optimizers", tmp_path / name / "beside")

    def hash_in(name: str) -> str:
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / name)
            return source_hash.__wrapped__(("copied", "beside"))

    first = hash_in("one")
    shutil.rmtree(tmp_path / "one" / "copied" / "__pycache__", ignore_errors=True)
    assert hash_in("one") == hash_in("two") == first
    with (tmp_path / "two" / "beside" / "bases.py").open("a") as file:
        file.write("\n")
    assert hash_in("two") != first
    (tmp_path / "one" / "copied" / "digits.py").rename(tmp_path / "one" / "copied" / "numbers.py")
    assert hash_in("one") != first


def test_a_package_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="the package 'nowhere' must be importable"):
        source_hash(("nowhere",))
