"""The notebook among the examples runs as it is, and shows a table and figures."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
MAX_LINES = 10


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_short_and_kept_without_outputs() -> None:
    cells = code_cells(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * len(cells)
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines() if line]
    assert len(lines) <= MAX_LINES


@pytest.mark.slow
@pytest.mark.long
def test_it_runs(tmp_path: Path) -> None:
    """In a kernel of its own, as a user has it: Ray starts from there."""
    notebook: Any = nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [
        output["data"]
        for cell in code_cells(notebook)
        for output in cell["outputs"]
        if output["output_type"] == "execute_result"
    ]
    table, *figures = shown
    assert "<table>" in table["text/html"]
    for label in ("gd", "sam", "msam", "grid mean", "5 seeds"):
        assert label in table["text/html"], label
    assert len(figures) == 3
    assert all("<svg" in figure["image/svg+xml"] for figure in figures)
