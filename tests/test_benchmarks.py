"""The programs that measure us still run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
# that start a server or dispatchers and take minutes even so
OF_A_NIGHT = ("dashboard", "durability", "quickstart", "scale", "service", "sweep", "tasks")


def marked(program: str) -> object:
    return pytest.param(program, marks=(pytest.mark.nightly,) if program in OF_A_NIGHT else ())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("program", [marked(program) for program in PROGRAMS])
def test_smoke(program: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{program}", "--smoke"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip(), "it prints what it measured"
