import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.errors import TaskDataError
from benchmark.tasks.cache import Arrays, cache_folder, cached_arrays


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some" / "cache"
    monkeypatch.setenv("RHOBUST_CACHE_DIR", str(folder))
    return folder


class Maker:
    """Makes the same arrays each time, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"points": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.array([3, 1])}


def same(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first
    )


def test_arrays_are_made_once(folder: Path) -> None:
    make = Maker()
    assert same(cached_arrays("data-1.0", make), make())
    assert same(cached_arrays("data-1.0", make), make())
    assert make.calls == 3
    (file,) = folder.iterdir()
    assert file.name == f"data-1.0.{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}.npz"


def test_every_name_has_a_file_of_its_own(folder: Path) -> None:
    make = Maker()
    for name in ("data", "data-1", "data.1", "data"):
        cached_arrays(name, make)
    assert make.calls == 3
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("name", ["", "../data", "a/b", "data*"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="a name must consist of letters"):
        cached_arrays(name, Maker())


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[:-1], lambda content: content[:99] + b"?" + content[100:]],
    ids=["empty", "cut", "changed"],
)
def test_a_damaged_file_is_named_and_made_again_once_it_is_deleted(
    damage: Callable[[bytes], bytes], folder: Path
) -> None:
    make = Maker()
    cached_arrays("data", make)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(TaskDataError, match=rf"got [0-9a-f]{{16}} for {file}\. Delete this file; it is made again"):
        cached_arrays("data", make)
    assert make.calls == 1
    file.unlink()
    assert same(cached_arrays("data", make), make())


def test_a_folder_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RHOBUST_CACHE_DIR", str(tmp_path / "file" / "below"))
    make = Maker()
    for n_calls in (1, 2):
        assert same(cached_arrays("data", make), Maker()())
        assert make.calls == n_calls
    assert {record.name for record in caplog.records} == {"rhobust"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "set RHOBUST_CACHE_DIR to a writable folder" in caplog.text


def test_a_file_that_cannot_be_read_costs_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / f"data.{'0' * 16}.npz").mkdir(parents=True)
    assert same(cached_arrays("data", Maker()), Maker()())
    assert "data cannot be read from the cache" in caplog.text


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RHOBUST_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert same(cached_arrays("data", Maker()), Maker()())
    assert "Could not determine home directory" in caplog.text


def test_objects_are_not_kept_and_leave_nothing_behind(folder: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved when allow_pickle=False"):
        cached_arrays("data", lambda: {"points": np.array([{}])})
    assert not folder.exists()


def test_who_is_slower_finds_the_arrays_too(folder: Path) -> None:
    """Another process fills the cache while this one makes the same arrays."""
    make = Maker()

    def slow() -> Arrays:
        cached_arrays("data", make)
        return make()

    assert same(cached_arrays("data", slow), make())
    assert same(cached_arrays("data", make), make())
    assert {file.suffix for file in folder.iterdir()} == {".npz"}


def test_many_at_once_all_get_the_arrays(folder: Path) -> None:
    n = 8
    barrier = threading.Barrier(n)

    def work(_: int) -> Arrays:
        barrier.wait()
        return cached_arrays("data", Maker())

    with ThreadPoolExecutor(n) as pool:
        assert all(same(arrays, Maker()()) for arrays in pool.map(work, range(n)))
    assert {file.suffix for file in folder.iterdir()} == {".npz"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RHOBUST_CACHE_DIR": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"RHOBUST_CACHE_DIR": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/rhobust"),
        ({"XDG_CACHE_HOME": ""}, "/me/.cache/rhobust"),
        ({"RHOBUST_CACHE_DIR": "~/kept"}, "/me/kept"),
        ({}, "/me/.cache/rhobust"),
    ],
)
def test_where_the_cache_is(variables: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RHOBUST_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
