"""A machine that lacks something is told what, and what to do."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from service.doctor import Verdict, machine
from service.settings import Settings

GIB = 1024**3


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith(("RHOBUST_", "RAY_AUTH"))]:
        monkeypatch.delenv(name)
    return Settings(data_dir=tmp_path / "data")


@pytest.mark.slow
def test_this_machine_is_well(settings: Settings) -> None:
    findings = list(machine.examine_machine(settings))
    assert [one.check for one in findings] == ["python", "packages", "torch", "ray", "data folder", "disk"]
    assert not [one for one in findings if one.verdict is Verdict.PROBLEM]
    assert not settings.data_dir.exists(), "looking makes nothing"


def test_a_python_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    found = machine.python()
    assert (found.verdict, found.message) == (Verdict.PROBLEM, ">=3.11 is needed, but this is 3.10.4.")


def test_packages_that_are_missing_or_of_another_version(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=999", "no-such-package>=1", "torch>=2", "no-dev-package; extra == 'dev'"]
    monkeypatch.setattr(machine, "requires", lambda name: lines)
    found = machine.packages(settings)
    assert found.verdict is Verdict.PROBLEM
    assert found.message.startswith("numpy>=999 is needed, but ")
    assert "no-such-package is missing" in found.message
    assert "torch" not in found.message
    assert "no-dev-package" not in found.message
    assert found.remedy == "Bring them to what is needed: pip install -U rhobust"


def test_postgresql_needs_its_extra(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda name: ["no-such-driver>=3; extra == 'postgres'"])
    assert machine.packages(settings).verdict is Verdict.OK
    monkeypatch.setenv("RHOBUST_DATABASE_URL", "postgresql://here/x")
    found = machine.packages(Settings())
    assert (found.verdict, found.message) == (Verdict.PROBLEM, "no-such-driver is missing.")
    assert "'rhobust[postgres]'" in (found.remedy or "")


def test_a_torch_that_does_not_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nand more")

    monkeypatch.setattr("torch.ones", fail)
    found = machine.torch_device()
    assert found.verdict is Verdict.PROBLEM
    assert found.message == "it does not compute: CUDA error: no kernel image is available."


def test_ray_that_is_missing_broken_or_slow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    broken = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: libray.so is missing\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: broken)
    assert machine.ray(settings).message == "it cannot be imported: ImportError: libray.so is missing."
    monkeypatch.setattr("subprocess.run", too_slow)
    assert machine.ray(settings).message == "it is not imported within 120 s."
    monkeypatch.setattr("service.environment.find_spec", lambda name: None)
    found = machine.ray(settings)
    assert (found.verdict, "pip install 'ray[tune]'" in found.message) == (Verdict.PROBLEM, True)


def test_a_cluster_needs_an_answer_and_a_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    with socket.socket() as cluster:
        cluster.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        remote = settings.model_copy(update={"ray_address": address})
        assert "no Ray answers at" in machine.ray(remote).message
        cluster.listen()
        found = machine.ray(remote)
        assert (found.verdict, found.message) == (Verdict.PROBLEM, f"there is no token for the cluster at {address}.")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nowhere"))
        assert machine.ray(remote).verdict is Verdict.PROBLEM
        (tmp_path / "nowhere").write_text("secret")
        assert machine.ray(remote).verdict is Verdict.OK
        monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("secret")
        assert machine.ray(remote).verdict is Verdict.OK


def test_a_data_folder_that_cannot_be_written() -> None:
    found = machine.data_folder(Settings(data_dir=Path("/proc/nowhere")))
    assert found.verdict is Verdict.PROBLEM
    assert found.message.startswith("/proc cannot be written")
    assert "RHOBUST_DATA_DIR" in (found.remedy or "")


@pytest.mark.parametrize(
    ("free", "verdict"), [(3 * GIB, Verdict.OK), (GIB, Verdict.WARNING), (GIB // 10, Verdict.PROBLEM)]
)
def test_a_disk_that_is_nearly_full(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, verdict: Verdict
) -> None:
    usage = namedtuple("usage", "free")
    other = tmp_path / "scratch"
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(free if place == other else 9 * GIB))
    found = machine.disk(settings)
    assert found.verdict is verdict
    assert f"free at {other}" in found.message or verdict is Verdict.OK
