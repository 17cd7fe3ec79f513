"""A job of a server as an object: wait for it, steer it, read its results."""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from benchmark import Spec
from benchmark.parsing import parse_text, read_text
from service.client.errors import NotFoundError, ServerFaultError, ServerUnreachableError, WaitTimeoutError
from service.client.results import JobResults
from service.progress import progress_bar
from service.states import JobState

POLL_S = 0.5
SILENCE_S = 60.0  # of events: a comment comes every 15 s
DATA = "data: "


def document_of(spec: Spec | Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    """Return a spec as plain values. Whether it is valid is the server's to say: it has its own limits and plug-ins."""
    if isinstance(spec, str | Path):
        return parse_text(read_text(Path(spec)), str(spec))
    return spec.to_dict() if isinstance(spec, Spec) else dict(spec)


class Job(JobResults):
    """A job of a server, as it was when it was last read; `refresh` reads it again."""

    def wait(
        self,
        *,
        progress: bool = False,
        timeout_s: float | None = None,
        console: Console | None = None,
        on_poll: Callable[["Job"], None] = lambda job: None,
    ) -> Self:
        """Wait until the job has ended or is paused. A server that restarts meanwhile is waited for.

        Args:
            progress: whether to show a bar, in a terminal or a notebook.
            timeout_s: seconds to wait at most; None waits as long as it takes.
            console: where the bar is; standard error by default.
            on_poll: called each time the job has been read.

        Raises:
            WaitTimeoutError: when it has not ended in time.
            ServerUnreachableError: when the server goes away for longer than the client is patient.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with progress_bar(self.name, self.progress.total, console, show=progress) as show:
            self.refresh()
            # What the server tells by itself may be far apart: with a limit the job is read again and again instead.
            with contextlib.closing(self._changes() if deadline is None else self._polls()) as changes:
                while True:
                    show(self.progress)
                    on_poll(self)
                    if self.has_ended or self.state is JobState.PAUSED:
                        return self
                    if deadline is not None and time.monotonic() > deadline:
                        raise WaitTimeoutError(f"job {self.id} is {self.state} after {timeout_s:g} s.")
                    next(changes)

    def _changes(self) -> Generator[None, None, None]:
        """Yield whenever the server's events have told of the job; where there are none, it is read again instead."""
        polls = self._polls()
        while True:
            try:
                for line in self._client.lines(f"{self._path}/events", {}, read_timeout_s=SILENCE_S):
                    if line.startswith(DATA):
                        self._take(json.loads(line.removeprefix(DATA)))
                        yield
            except NotFoundError:
                yield from polls  # a server that has no events; or no job any more, which the next look says
            except (ServerUnreachableError, ServerFaultError):
                pass  # it restarts, or too many listen
            next(polls)
            yield

    def _polls(self) -> Generator[None, None, None]:
        while True:
            time.sleep(POLL_S)
            self.refresh()
            yield

    def pause(self) -> Self:
        """Start no more packs; those in flight finish."""
        return self._steer("pause")

    def resume(self) -> Self:
        """Put the paused job back into the queue."""
        return self._steer("resume")

    def cancel(self) -> Self:
        """End the job at once; what is recorded stays."""
        return self._steer("cancel")

    def retry(self, limits: Mapping[str, float] | None = None) -> Self:
        """Train what is missing of the ended job, under new limits if any are given."""
        return self._steer("retry", json={"limits": dict(limits)} if limits else None)

    def extend(self, spec: Spec | Mapping[str, Any] | str | Path) -> Self:
        """Train what a larger spec adds to the ended job, whose cells must all be in it.

        Raises:
            ProblemError: when a cell of the job is not in the spec, naming the first; or when the job has not ended.
        """
        return self._steer("extend", json=document_of(spec))

    def delete(self) -> None:
        """Delete the ended job and the records that no other job uses."""
        self._client.request("DELETE", self._path)

    def _steer(self, action: str, **options: Any) -> Self:
        return self._take(self._client.json("POST", f"{self._path}/{action}", **options))
