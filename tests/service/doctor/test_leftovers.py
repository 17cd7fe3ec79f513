"""What killed processes leave behind is found; only folders that are provably nobody's are removed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmark.scratch import MARKER, Scratch
from service.doctor import Finding, Verdict, leftovers
from service.jobs.child import DRIVER_MODULE
from tests.service.processes import until

pytestmark = pytest.mark.slow

KILLED_MAKER = """
import os, sys
from benchmark.scratch import Scratch
print(Scratch("rho-", sys.argv[1]).path, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def nothing_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "QUIET_S", -1.0)


def left_by_a_killed_process(place: Path) -> Path:
    command = [sys.executable, "-c", KILLED_MAKER, str(place)]
    return Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())


def folders(place: Path, *, clean: bool = False) -> Finding:
    return leftovers.folders({place}, clean=clean)


def test_nothing_is_left(tmp_path: Path) -> None:
    for name in ("rho-short", "rho-rev-qi2ue6w9", "other", "ray-UPPER123"):
        (tmp_path / name).mkdir()
    (tmp_path / "ray-a1b2c3d4").write_text("a file")
    (tmp_path / "tune-a1b2c3d4").symlink_to(tmp_path / "other")
    assert folders(tmp_path, clean=True).verdict is Verdict.OK
    assert folders(tmp_path / "nowhere").verdict is Verdict.OK
    assert len(list(tmp_path.iterdir())) == 6


def test_a_folder_of_a_killed_process_is_told_and_removed_on_demand(tmp_path: Path) -> None:
    path = left_by_a_killed_process(tmp_path)
    (path / "full").mkdir()
    found = folders(tmp_path)
    assert (found.verdict, str(path) in found.message) == (Verdict.WARNING, True)
    assert "rhobust doctor --clean" in (found.remedy or "")
    assert path.exists(), "looking removes nothing"
    found = folders(tmp_path, clean=True)
    assert (found.verdict, found.message) == (Verdict.OK, "1 left-over folders were removed")
    assert not path.exists()


def test_a_folder_of_a_living_maker_stays(tmp_path: Path) -> None:
    scratch = Scratch("tune-", str(tmp_path))
    assert folders(tmp_path, clean=True).verdict is Verdict.OK
    assert scratch.path.exists()
    scratch.remove()


@pytest.mark.parametrize("way", ["argument", "environment", "place", "open file"])
def test_a_folder_that_a_process_refers_to_stays(tmp_path: Path, way: str) -> None:
    path = left_by_a_killed_process(tmp_path)
    program = "import sys; print(flush=True); sys.stdin.read()"
    if way == "open file":
        program = f"held = open({str(path / 'log')!r}, 'w'); {program}"
    command = [sys.executable, "-c", program, *([f"--temp={path}/session"] if way == "argument" else [])]
    env = {**os.environ, **({"TMPDIR": str(path)} if way == "environment" else {})}
    cwd = path if way == "place" else None
    user = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert user.stdout is not None
    user.stdout.readline()
    try:
        assert folders(tmp_path, clean=True).verdict is Verdict.OK
        assert path.exists()
    finally:
        user.kill()
        user.communicate()
    assert folders(tmp_path, clean=True).message == "1 left-over folders were removed"


def test_a_process_that_cannot_be_looked_into_may_use_what_was_there_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: psutil.Process) -> Iterator[str]:
        raise psutil.AccessDenied(process.pid)

    path = left_by_a_killed_process(tmp_path)
    later = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(leftovers, "_references", refuse)
    monkeypatch.setattr(psutil, "process_iter", lambda: [psutil.Process(later.pid)])
    try:
        assert folders(tmp_path, clean=True).verdict is Verdict.OK
        assert path.exists()
    finally:
        later.kill()
        later.wait()
    monkeypatch.setattr(psutil, "process_iter", lambda: [psutil.Process()])  # this one was there before the folder
    monkeypatch.setattr(leftovers, "START_ERROR_S", -3600.0)
    assert folders(tmp_path, clean=True).message == "1 left-over folders were removed"


def test_a_folder_without_a_mark_is_told_and_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "ray-a1b2c3d4"
    path.mkdir()
    found = folders(tmp_path, clean=True)
    assert (found.verdict, found.message) == (Verdict.WARNING, f"perhaps left over: {path}.")
    assert "by hand" in (found.remedy or "")
    assert path.exists()


def test_a_folder_that_changed_lately_is_in_the_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_killed_process(tmp_path)
    monkeypatch.setattr(leftovers, "QUIET_S", 60.0)
    assert folders(tmp_path, clean=True).verdict is Verdict.OK
    assert len(list(tmp_path.glob(f"*/{MARKER}"))) == 1


def test_a_folder_of_somebody_else_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_killed_process(tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert folders(tmp_path, clean=True).verdict is Verdict.OK
    assert len(list(tmp_path.iterdir())) == 1


def test_a_driver_without_its_dispatcher_is_told_and_left_alone(tmp_path: Path) -> None:
    """The parent starts what looks like a driver, says its id, and is killed."""
    driver = [sys.executable, "-c", "import time; time.sleep(60)", DRIVER_MODULE]
    program = f"""
import subprocess, sys
driver = subprocess.Popen({driver!r}, start_new_session=True, stdin=-3, stdout=-3)
print(driver.pid, flush=True)
sys.stdin.read()
"""
    dispatcher = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert dispatcher.stdout is not None
    pid = int(dispatcher.stdout.readline())
    try:
        assert pid not in [process.pid for process in leftovers.orphaned_drivers()]
        dispatcher.kill()
        dispatcher.communicate()
        until(lambda: pid in [process.pid for process in leftovers.orphaned_drivers()], "the driver is an orphan", 10)
        found = leftovers.processes()
        assert found.verdict is Verdict.WARNING
        assert str(pid) in found.message
        assert psutil.pid_exists(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
