import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmark import checkpoints
from benchmark.checkpoints import KEEP_S, Checkpoint, checkpoints_folder, prune_checkpoints

KEY = "0123456789abcdef" * 2
NAME = f"{KEY}-{KEY}"
CELL = {"seed": 3, "hyperparameters": {"lr": 0.1, "momentum": 0.9}}
STATE = {"step": 7, "model": {"weight": torch.arange(6.0).reshape(2, 3)}, "losses": [0.5, 0.25]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_CHECKPOINTS_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def loaded(cell: dict[str, Any] = CELL) -> dict[str, Any] | None:
    return Checkpoint(NAME, cell).load()


def test_a_state_is_read_as_it_was_written_last(folder: Path) -> None:
    assert loaded() is None
    checkpoint = Checkpoint(NAME, CELL)
    checkpoint.save(lambda: {**STATE, "step": 6})
    checkpoint.save(lambda: STATE)
    found = loaded()
    assert found is not None
    assert (found["step"], found["losses"]) == (7, [0.5, 0.25])
    assert torch.equal(found["model"]["weight"], torch.arange(6.0).reshape(2, 3))
    assert [path.name for path in folder.iterdir()] == [f"{NAME}.safetensors"]
    assert folder.stat().st_mode & 0o777 == 0o700
    checkpoint.remove()
    checkpoint.remove()
    assert list(folder.iterdir()) == []


def test_tensors_that_are_read_are_nobody_elses(folder: Path) -> None:
    Checkpoint(NAME, CELL).save(lambda: STATE)
    before = (folder / f"{NAME}.safetensors").read_bytes()
    found = loaded()
    assert found is not None
    found["model"]["weight"].zero_()
    assert (folder / f"{NAME}.safetensors").read_bytes() == before


@pytest.mark.parametrize("damage", ["torn", "empty", "other", "foreign", "no_header"])
def test_what_is_torn_or_foreign_is_not_used(folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    Checkpoint(NAME, CELL).save(lambda: STATE)
    file = folder / f"{NAME}.safetensors"
    content = file.read_bytes()
    if damage == "foreign":
        assert loaded({**CELL, "hyperparameters": {"lr": 0.2, "momentum": 0.9}}) is None
    else:
        written = {"torn": content[:-5], "empty": b"", "other": b"no checkpoint at all, but longer than eight bytes"}
        if damage == "no_header":
            save_file({"0": torch.zeros(2)}, file)
        else:
            file.write_bytes(written[damage])
        assert loaded() is None
    assert f"the checkpoint {NAME} is not used" in caplog.text


def test_a_writer_that_dies_leaves_the_checkpoint_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Checkpoint(NAME, CELL).save(lambda: STATE)

    def broken(tensors: object, path: Path, texts: object) -> None:
        path.write_bytes(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save_file", broken)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint(NAME, CELL).save(lambda: {**STATE, "step": 8})
    found = loaded()
    assert found is not None
    assert found["step"] == 7


def test_a_folder_that_cannot_be_written_costs_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RHOBUST_CHECKPOINTS_DIR", str(tmp_path / "file" / "kept"))
    checkpoint = Checkpoint(NAME, CELL)
    checkpoint.save(lambda: STATE)
    assert checkpoint.load() is None
    checkpoint.remove()
    assert "no checkpoint can be written" in caplog.text
    assert "set RHOBUST_CHECKPOINTS_DIR to a writable folder" in caplog.text


def test_without_a_home_no_cell_is_lost(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("RHOBUST_CHECKPOINTS_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    checkpoint = Checkpoint(NAME, CELL)
    checkpoint.save(lambda: STATE)
    assert checkpoint.load() is None
    assert "Could not determine home directory" in caplog.text


def test_a_state_that_is_not_plain_is_said_once(caplog: pytest.LogCaptureFixture, folder: Path) -> None:
    checkpoint = Checkpoint(NAME, CELL)
    for _ in range(2):
        checkpoint.save(lambda: {"optimizer": object()})
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RHOBUST_CHECKPOINTS_DIR": "/own", "XDG_DATA_HOME": "/xdg"}, "/own"),
        ({"RHOBUST_CHECKPOINTS_DIR": "", "XDG_DATA_HOME": "/xdg"}, "/xdg/rhobust/checkpoints"),
        ({"HOME": "/me"}, "/me/.local/share/rhobust/checkpoints"),
    ],
)
def test_the_folder_is_beside_the_data(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RHOBUST_CHECKPOINTS_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert checkpoints_folder() == Path(expected)


def test_old_checkpoints_are_removed_and_nothing_else(folder: Path) -> None:
    folder.mkdir()
    old = time.time() - KEEP_S - 60
    ages = {
        f"{NAME}.safetensors": old,
        f"{NAME}-{KEY}.safetensors": old,
        f"{NAME}.{'0' * 16}.tmp": old,
        f"{KEY}-{KEY[::-1]}.safetensors": time.time(),
        "model.safetensors": old,
    }
    for name, written in ages.items():
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (written, written))
    prune_checkpoints(folder)
    assert {path.name for path in folder.iterdir()} == {f"{KEY}-{KEY[::-1]}.safetensors", "model.safetensors"}
