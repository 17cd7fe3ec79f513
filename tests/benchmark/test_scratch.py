"""A scratch folder is somebody's as long as its maker lives, and not a moment longer."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmark.scratch import MARKER, Scratch, abandoned, scratch_folder

pytestmark = pytest.mark.slow


def is_abandoned(path: Path) -> bool:
    with abandoned(path) as answer:
        return answer


def test_a_folder_goes_with_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder("tune-") as folder:
        (Path(folder) / "full").mkdir()
        assert Path(folder).parent == tmp_path
        assert Path(folder).name.startswith("tune-")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_until_it_is_removed(tmp_path: Path) -> None:
    scratch = Scratch("rho-", str(tmp_path))
    assert not is_abandoned(scratch.path)
    scratch.remove()
    scratch.remove()
    assert not scratch.path.exists()


def test_a_killed_maker_leaves_a_folder_that_is_known_to_be_nobodys(tmp_path: Path) -> None:
    program = f"""
from benchmark.scratch import Scratch
import sys
print(Scratch("rho-", {str(tmp_path)!r}).path, flush=True)
sys.stdin.read()
"""
    maker = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True)
    assert maker.stdout is not None
    path = Path(maker.stdout.readline().strip())
    assert not is_abandoned(path)
    maker.kill()
    maker.communicate()
    assert is_abandoned(path)
    with abandoned(path) as first, abandoned(path) as second:
        assert (first, second) == (True, False)


def test_a_folder_without_a_marker_is_not_ours(tmp_path: Path) -> None:
    assert not is_abandoned(tmp_path)
    (tmp_path / "elsewhere").touch()
    (tmp_path / MARKER).symlink_to(tmp_path / "elsewhere")
    assert not is_abandoned(tmp_path)
