"""A job of a server as an object: wait for it, steer it, read its results."""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmark.documents import parse_text, read_text
from service.client.answers import Plan
from service.client.connection import path_of, repeatable
from service.client.errors import NotFoundError, ServerFaultError, ServerUnreachableError, WaitTimeoutError
from service.client.results import JobResults
from service.progress import progress_bar
from service.states import JobState

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark import Spec

POLL_S = 0.5
SILENCE_S = 60.0  # of events: a comment comes every 15 s
DATA = "data: "


def document_of(spec: "Spec | Mapping[str, Any] | str | Path") -> Mapping[str, Any]:
    """Return a spec as plain values. Whether it is valid is the server's to say: it has its own limits and plug-ins."""
    if isinstance(spec, str | Path):
        return parse_text(read_text(Path(spec)), str(spec))
    return dict(spec) if isinstance(spec, Mapping) else spec.to_dict()


class Job(JobResults):
    """A job of a server, as it was when it was last read; `refresh` reads it again."""

    def wait(
        self,
        *,
        progress: bool = False,
        timeout_s: float | None = None,
        console: "Console | None" = None,
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
        """Start no more packs; those in flight finish if they are fused, else they stop, and go on later."""
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

    def extend(self, spec: "Spec | Mapping[str, Any] | str | Path") -> Self:
        """Train what a larger spec adds to the ended job, whose cells must all be in it.

        Raises:
            ProblemError: when a cell of the job is not in the spec, naming the first; or when the job has not ended.
        """
        return self._steer("extend", json=document_of(spec))

    def plan_extension(self, spec: "Spec | Mapping[str, Any] | str | Path") -> Plan:
        """Return the price of `extend` without changing anything; raises as that does."""
        # It changes nothing, so the key is only a leave to send it again.
        headers = repeatable()
        path, params = f"{self._path}/extend", {"dry_run": True}
        return Plan.of(self._client.json("POST", path, json=document_of(spec), params=params, headers=headers))

    def spec_text(self) -> str:
        """Return its spec as YAML for people, without what the defaults say anyway."""
        return self._client.request("GET", f"{self._path}/spec").text

    def extensions(self, *names: str) -> dict[str, Any]:
        """Return how the ended job may well be extended: the proposals, and the spec that some of them make.

        Args:
            names: of the proposals that `spec` and `text` are to hold; `extend` takes the spec as it is.

        Raises:
            ConflictError: when the job has not ended.
        """
        return self._client.json("GET", f"{self._path}/extensions", params={"choose": list(names)})

    def rerun(self, records: Sequence[str] | None = None) -> "Job":
        """Train packs of the ended job again exactly as they were, as a new job, which is returned.

        Once that has ended, its `rerun_answer` says whether the same came of them.

        Args:
            records: ids of those that are compared, whose whole packs are trained again; all results by default.

        Raises:
            ProblemError: when a record is no result of the job, or it has none; or when the job has not ended.
        """
        body = {} if records is None else {"records": list(records)}
        headers = repeatable()
        values = self._client.json("POST", f"{self._path}/rerun", json=body, headers=headers)
        return Job(self._client, path_of("job", str(values["id"])), values)

    def delete(self) -> None:
        """Delete the ended job and the records that no other job uses."""
        self._client.request("DELETE", self._path)

    def _steer(self, action: str, **options: Any) -> Self:
        return self._take(self._client.json("POST", f"{self._path}/{action}", **options))
