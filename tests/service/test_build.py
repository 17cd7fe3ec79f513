import subprocess
import sys
from pathlib import Path

import pytest

from service.build import build, revision_at, source_revision
from service.store.tables import REVISION
from tests.service.processes import environment, rhobust

HASH = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = Path("/nowhere")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_stamp_goes_before_a_working_copy(tmp_path: Path) -> None:
    stamp = tmp_path / "revision.txt"
    write(tmp_path / ".git/HEAD", "f" * 40 + "\n")
    write(stamp, f"{HASH}\n")
    assert source_revision(stamp, tmp_path) == HASH
    write(stamp, "\n")
    assert source_revision(stamp, tmp_path) == "f" * 40, "an image that was built without one says nothing"


@pytest.mark.parametrize("place", ["refs/heads/main", "packed-refs"])
def test_the_revision_of_a_branch_is_read_from_gits_own_files(tmp_path: Path, place: str) -> None:
    write(tmp_path / ".git/HEAD", "ref: refs/heads/main\n")
    packed = f"# pack-refs with: peeled\n{'e' * 40} refs/heads/mainly\n{HASH} refs/heads/main\n"
    write(tmp_path / ".git" / place, packed if place == "packed-refs" else f"{HASH}\n")
    assert source_revision(NOWHERE, tmp_path) == HASH


def test_a_second_working_copy_shares_the_branches_of_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first/.git", tmp_path / "second"
    write(first / "worktrees/second/HEAD", "ref: refs/heads/side\n")
    write(first / "worktrees/second/commondir", "../..\n")
    write(first / "refs/heads/side", f"{HASH}\n")
    write(second / ".git", f"gitdir: {first}/worktrees/second\n")
    assert source_revision(NOWHERE, second) == HASH


@pytest.mark.parametrize("head", ["", "ref: refs/heads/unborn", "ref: refs/../../secret", "<html>", "\x00"])
def test_no_revision_is_none_and_no_fault(tmp_path: Path, head: str) -> None:
    assert source_revision(NOWHERE, tmp_path) is None
    write(tmp_path / ".git/HEAD", head)
    write(tmp_path / "secret", HASH)
    assert source_revision(NOWHERE, tmp_path) is None


def test_what_is_running_is_known() -> None:
    facts = build().to_dict()
    assert facts["schema"] == REVISION
    assert all(facts[name] for name in ("version", "python", "torch"))


def test_a_folder_within_a_working_copy_knows_its_revision(tmp_path: Path) -> None:
    write(tmp_path / ".git/HEAD", f"{HASH}\n")
    inner = tmp_path / "packages/mine"
    inner.mkdir(parents=True)
    assert revision_at(inner) == revision_at(tmp_path) == HASH
    (tmp_path / ".git/HEAD").write_text("")
    assert revision_at(inner) is None


@pytest.mark.slow
def test_the_command_line_says_which_revision_it_is(tmp_path: Path) -> None:
    said = rhobust("--version", env=environment(tmp_path)).stdout.strip()
    revision = build().revision
    assert said == f"rhobust {build().version}" + (f" ({revision[:12]})" if revision else "")


def test_to_say_the_version_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from service.cli import main\n"
        "sys.argv = ['rhobust', '--version']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'pandas', 'sqlalchemy', 'typer'} & sys.modules.keys()))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].startswith("rhobust 0.")
    assert said[1] == "[]"
