import shutil
import subprocess
import sys
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
    task = load_task("digits-mlp", {"hidden": 8, "depth": 1})
    usual = fingerprint(task, device=CPU, precision="fp32", execution="sequential")
    others = [
        fingerprint(task, device=torch.device("meta"), precision="fp32", execution="sequential"),
        fingerprint(task, device=CPU, precision="bf16", execution="sequential"),
        fingerprint(task, device=CPU, precision="fp32", execution="fused"),
        Fingerprint(**{**usual.to_dict(), "torch": "1.0"}),
        Fingerprint(**{**usual.to_dict(), "numpy": "1.0"}),
        Fingerprint(**{**usual.to_dict(), "data": "other"}),
        Fingerprint(**{**usual.to_dict(), "source": "other"}),
    ]
    assert len({one.key for one in (usual, *others)}) == len(others) + 1
    assert usual == fingerprint(task, device=CPU, precision="fp32", execution="sequential")
    assert usual.torch == torch.__version__
    assert cell_fingerprint(first_cell(), CPU) == usual


def test_the_number_of_a_device_does_not_count() -> None:
    task = load_task("digits-mlp", {})
    keys = {
        fingerprint(task, device=torch.device("cuda", index), precision="fp32", execution="fused").key
        for index in range(2)
    }
    assert len(keys) == 1


def _hash_in(folder: Path) -> str:
    """Hash of the sources in a folder, by a process that imports them from the tree under test."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        "from benchmark.fingerprint import source_hash\n"
        f"sys.path.insert(0, {str(folder)!r}); print(source_hash(('copied', 'beside')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_source_file_counts_wherever_it_stands(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        shutil.copytree(ROOT / "benchmark" / "tasks", folder / "copied")
        shutil.copytree(ROOT / "optimizers", folder / "beside", ignore=shutil.ignore_patterns("__pycache__"))
    first, second = (_hash_in(folder) for folder in folders)
    assert first == second
    with (folders[1] / "beside" / "bases.py").open("a") as file:
        file.write("\n")
    assert _hash_in(folders[1]) != first
    (folders[0] / "copied" / "digits.py").rename(folders[0] / "copied" / "numbers.py")
    assert _hash_in(folders[0]) != first


def test_a_package_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="the package 'nowhere' must be importable"):
        source_hash(("nowhere",))
