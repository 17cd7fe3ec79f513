"""The progress bar of a job, in a terminal and in a notebook."""

import contextlib
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Flying(Protocol):
    """How far the cells are that are being trained."""

    @property
    def cells(self) -> int:
        """How many they are."""

    @property
    def done(self) -> float:
        """How many cells' worth of steps they have taken."""

    @property
    def furthest(self) -> float:
        """Share of its steps that the furthest of them has taken."""


class Counts(Protocol):
    """How far a job is, counted in cells."""

    @property
    def total(self) -> int:
        """Cells of the job."""

    @property
    def reused(self) -> int:
        """Those that were taken over from other jobs."""

    @property
    def completed(self) -> int:
        """Those that were trained to the end."""

    @property
    def diverged(self) -> int:
        """Those whose loss was not finite."""

    @property
    def timed_out(self) -> int:
        """Those that took too long."""

    @property
    def failed(self) -> int:
        """Those that could not be trained."""

    @property
    def cells_per_s(self) -> float | None:
        """Rate of those that the job trained itself."""

    @property
    def in_flight(self) -> Flying | None:
        """Those that are being trained, if they take longer than a moment."""


Show = Callable[[Counts], None]


@contextlib.contextmanager
def progress_bar(title: str, total: int, console: Console | None = None, *, show: bool = True) -> Iterator[Show]:
    """Show a bar while a job runs; yields the function that takes the job's progress.

    In a notebook it is an element of the page. Where the console is no terminal either, a line is printed at each tenth
    instead.

    Args:
        title: of the bar.
        total: cells of the job.
        console: where it is shown; standard error by default, so that standard output stays data.
        show: whether anything is shown at all.
    """
    console = console or Console(stderr=True)
    if not show:
        yield lambda progress: None
    elif console.is_jupyter:
        yield _in_notebook(title)
    elif not console.is_terminal:
        yield _tenths(title, console)
    else:
        columns = (
            TextColumn("[bold]{task.fields[title]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cells  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=total, title=title, note="")
            yield lambda progress: bar.update(task, completed=_reached(progress), note=_note(progress))


def _in_notebook(title: str) -> Show:
    # Rich needs ipywidgets, on both sides, to renew what a notebook shows; a display with a name does not.
    from IPython import display as notebook

    handle = cast(Any, notebook.display)({"text/html": "", "text/plain": title}, raw=True, display_id=True)

    def show(progress: Counts) -> None:
        line = _line(title, progress)
        bar = f'<progress value="{_reached(progress):g}" max="{max(1, progress.total)}"></progress>'
        handle.update({"text/html": f"{bar} {escape(line)}", "text/plain": line}, raw=True)

    return show


def _tenths(title: str, console: Console) -> Show:
    shown = -1

    def show(progress: Counts) -> None:
        nonlocal shown
        tenth = 10 * n_done(progress) // max(1, progress.total)
        if tenth > shown:
            shown = tenth
            console.print(_line(title, progress), highlight=False, markup=False)

    return show


def n_done(progress: Counts) -> int:
    """Return the number of cells with a record."""
    return progress.completed + progress.diverged + progress.timed_out + progress.failed


def flight_words(in_flight: Flying | None) -> str | None:
    """Return in words how far the cells in flight are; None where there are none."""
    if in_flight is None:
        return None
    some = "1 cell in flight," if in_flight.cells == 1 else f"{in_flight.cells} cells in flight, the furthest"
    return f"{some} {in_flight.furthest:.0%} done"


def _reached(progress: Counts) -> float:
    """Return the number of cells with a record and what those in flight come to, at most all."""
    return min(progress.total, n_done(progress) + (progress.in_flight.done if progress.in_flight else 0))


def _line(title: str, progress: Counts) -> str:
    note = _note(progress)
    return f"{title}: {n_done(progress)} of {progress.total} cells" + (f", {note}" if note else "")


def _note(progress: Counts) -> str:
    """Return what is worth saying beside the count: what was reused, and what did not complete."""
    counts = (
        ("reused", progress.reused),
        ("diverged", progress.diverged),
        ("timed out", progress.timed_out),
        ("failed", progress.failed),
    )
    parts = [f"{count} {name}" for name, count in counts if count]
    rate = f"{progress.cells_per_s:.1f}/s" if progress.cells_per_s else None
    return ", ".join(filter(None, (*parts, rate, flight_words(progress.in_flight))))
