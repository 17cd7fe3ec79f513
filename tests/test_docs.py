"""The programs in the documentation are programs that work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def program(page: str) -> str:
    """The first block of Python on a page."""
    block = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block
    return block.group(1)


@pytest.mark.slow
def test_the_task_of_the_worked_example_trains(tmp_path: Path) -> None:
    """A class in a script travels to the workers of a real Ray, by value."""
    script = tmp_path / "wine.py"
    script.write_text(program("tasks.md"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "wine" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| gd ", "| msam "))]
    assert len(rows) >= 2
    assert re.search(r"\.[89]\d", rows[0]), f"wines are not hard: {rows[0]}"


@pytest.mark.slow
def test_the_rule_of_the_worked_example_trains(tmp_path: Path) -> None:
    """A function in a script travels to the workers of a real Ray, by value."""
    script = tmp_path / "signs.py"
    script.write_text(program("plugins.md"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| sign\\_sam ")]
    assert rows
    assert re.search(r"\.\d\d", rows[0]), f"nothing was learned: {rows[0]}"
