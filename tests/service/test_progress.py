"""The bar where it is shown: in a terminal, in a notebook, and in a pipe."""

import io
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

from service.client import InFlight, Progress
from service.progress import progress_bar

PROGRAM = """
from service.client import Progress
from service.progress import progress_bar

with progress_bar("<b>job", 4) as show:
    for n in (1, 4):
        show(Progress(total=4, reused=1, completed=n, diverged=0, timed_out=0, failed=0, collapsed=0,
                      cells_per_s=None, eta_s=None))
"""


def progress(completed: int, diverged: int = 0) -> Progress:
    return Progress(
        total=10,
        reused=2,
        completed=completed,
        diverged=diverged,
        timed_out=0,
        failed=0,
        collapsed=0,
        cells_per_s=3.25,
        eta_s=None,
    )


def test_a_pipe_gets_a_line_each_tenth() -> None:
    console = Console(file=io.StringIO(), width=100)
    with progress_bar("[red]job", 10, console) as show:
        for shown in (progress(2), progress(2), progress(3, 1)):
            show(shown)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "[red]job: 2 of 10 cells, 2 reused, 3.2/s",
        "[red]job: 4 of 10 cells, 2 reused, 1 diverged, 3.2/s",
    ]


def test_cells_in_flight_count_and_are_told() -> None:
    console = Console(file=io.StringIO(), width=100)
    with progress_bar("job", 10, console) as show:
        show(progress(2).model_copy(update={"in_flight": InFlight(cells=3, done=1.5, furthest=0.9)}))
        show(progress(3).model_copy(update={"in_flight": InFlight(cells=1, done=0.25, furthest=0.25)}))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "job: 2 of 10 cells, 2 reused, 3.2/s, 3 cells in flight, the furthest 90% done",
        "job: 3 of 10 cells, 2 reused, 3.2/s, 1 cell in flight, 25% done",
    ]


def test_a_terminal_gets_a_bar_and_the_title_is_no_markup() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, no_color=True)
    with progress_bar("[red]job", 10, console) as show:
        show(progress(7, 1))
    assert isinstance(console.file, io.StringIO)
    assert "[red]job" in console.file.getvalue()
    assert "8/10" in console.file.getvalue()


def test_nothing_is_shown_where_nobody_asked() -> None:
    console = Console(file=io.StringIO())
    with progress_bar("job", 10, console, show=False) as show:
        show(progress(7))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


@pytest.mark.slow
def test_a_notebook_gets_one_element_that_is_renewed() -> None:
    """In a real kernel, without ipywidgets."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PROGRAM)])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(Path.cwd())}}
    ).execute()
    (output,) = notebook["cells"][0]["outputs"]
    assert output["output_type"] == "display_data"
    assert output["data"]["text/html"] == (
        '<progress value="4" max="4"></progress> &lt;b&gt;job: 4 of 4 cells, 1 reused'
    )
