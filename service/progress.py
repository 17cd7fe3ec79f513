"""The progress bar of a job in a terminal."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Show = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def progress_bar(title: str, total: int, console: Console | None = None, *, show: bool = True) -> Iterator[Show]:
    """Show a bar while a job runs; yields the function that takes the job's progress.

    Where the console is no terminal, a line is printed at each tenth instead.

    Args:
        title: of the bar.
        total: cells of the job.
        console: where it is shown; standard error by default, so that standard output stays data.
        show: whether anything is shown at all.
    """
    console = console or Console(stderr=True)
    if not show:
        yield lambda progress: None
    elif not console.is_terminal:
        yield _tenths(title, console)
    else:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cells  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=total, note="")
            yield lambda progress: bar.update(task, completed=n_done(progress), note=_note(progress))


def _tenths(title: str, console: Console) -> Show:
    shown = -1

    def show(progress: Mapping[str, Any]) -> None:
        nonlocal shown
        tenth = 10 * n_done(progress) // max(1, progress["total"])
        if tenth > shown:
            shown = tenth
            note = _note(progress)
            line = f"{title}: {n_done(progress)} of {progress['total']} cells" + (f", {note}" if note else "")
            console.print(line, highlight=False)

    return show


def n_done(progress: Mapping[str, Any]) -> int:
    """Return the number of cells with a record."""
    return int(sum(progress[name] for name in ("completed", "diverged", "timed_out", "failed")))


def _note(progress: Mapping[str, Any]) -> str:
    """Return what is worth saying beside the count: what was reused, and what did not complete."""
    parts = [
        f"{progress[name]} {name.replace('_', ' ')}"
        for name in ("reused", "diverged", "timed_out", "failed")
        if progress[name]
    ]
    rate = progress.get("cells_per_s")
    return ", ".join(parts + ([f"{rate:.1f}/s"] if rate else []))
