"""A job of a server as an object."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import quote

import httpx
import pandas as pd
from rich.console import Console

from benchmark import Spec
from benchmark.parsing import parse_text, read_text
from benchmark.robustness import HeldEqual, RobustnessTable
from service.client.errors import WaitTimeoutError
from service.progress import n_done, progress_bar
from service.states import JobState

POLL_S = 0.5


def document_of(spec: Spec | Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    """Return a spec as plain values. Whether it is valid is the server's to say: it has its own limits and plug-ins."""
    if isinstance(spec, str | Path):
        return parse_text(read_text(Path(spec)), str(spec))
    return spec.to_dict() if isinstance(spec, Spec) else dict(spec)


class Server(Protocol):
    """What a job needs of its client."""

    url: str

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return its answer."""

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request and return the JSON of its answer."""

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, a page at a time."""

    def lines(self, path: str, params: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of a text as they come."""


class Job:
    """A job of a server, as it was when it was last read; `refresh` reads it again."""

    def __init__(self, client: Server, path: str, values: Mapping[str, Any]) -> None:
        self._client = client
        self._path = path
        self.values = dict(values)

    def __repr__(self) -> str:
        progress = self.progress
        return f"<Job {self.id} {self.name!r} {self.state} {n_done(progress)}/{progress['total']}>"

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.values["id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.values["name"])

    @property
    def state(self) -> str:
        """Where it is in its life."""
        return str(self.values["state"])

    @property
    def error(self) -> str | None:
        """Why it failed, or what went wrong last."""
        error: str | None = self.values["error"]
        return error

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is, counted in cells."""
        progress: dict[str, Any] = self.values["progress"]
        return progress

    @property
    def owner(self) -> dict[str, Any] | None:
        """Who runs it: id, host, and ages of heartbeat and lease; None while nobody does."""
        owner: dict[str, Any] | None = self._detail("owner")
        return owner

    @property
    def missing(self) -> dict[str, Any]:
        """How many cells have no result: total, untried, failed, timed_out, and the first few of those tried."""
        missing: dict[str, Any] = self._detail("missing")
        return missing

    @property
    def url(self) -> str:
        """The page of the job in the dashboard."""
        return f"{self._client.url}/jobs/{self.id}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return JobState(self.state).is_terminal

    def refresh(self) -> Self:
        """Read the job again."""
        self.values = self._client.json("GET", self._path)
        return self

    def wait(
        self,
        *,
        progress: bool = False,
        timeout_s: float | None = None,
        console: Console | None = None,
        on_poll: Callable[["Job"], None] = lambda job: None,
    ) -> Self:
        """Wait until the job has ended or is paused.

        Args:
            progress: whether to show a bar on the console.
            timeout_s: seconds to wait at most; None waits as long as it takes.
            console: where the bar is; standard error by default.
            on_poll: called each time the job has been read.

        Raises:
            WaitTimeoutError: when it has not ended in time.
            ServerUnreachableError: when the server goes away for good.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with progress_bar(self.name, self.progress["total"], console, show=progress) as show:
            while True:
                show(self.refresh().progress)
                on_poll(self)
                if self.has_ended or self.state == "paused":
                    return self
                if deadline is not None and time.monotonic() > deadline:
                    raise WaitTimeoutError(f"job {self.id} is {self.state} after {timeout_s:g} s.")
                time.sleep(POLL_S)

    def table(self, *, view: HeldEqual | None = None) -> RobustnessTable:
        """Return its robustness table, of what is recorded so far.

        Args:
            view: what is held equal between optimizers; by default what the budgets hold equal.

        Raises:
            ProblemError: where the view cannot be read off the curves, with the reason and the remedy.
        """
        params = {} if view is None else {"view": view}
        return RobustnessTable.from_dict(self._client.json("GET", f"{self._path}/table", params=params))

    def surface(self, split: str = "test") -> list[dict[str, Any]]:
        """Return the response surface of every optimizer on every task, by `validation` or `test` scores."""
        surfaces = self._client.json("GET", f"{self._path}/surface", params={"split": split})["surfaces"]
        return list(surfaces)

    def slices(self) -> list[dict[str, Any]]:
        """Return the score along each hyperparameter through the best of each optimizer, and what is lost off it."""
        return list(self._client.json("GET", f"{self._path}/slices")["slices"])

    def tuning(self) -> list[dict[str, Any]]:
        """Return the expected best score of k trials for each optimizer, over k."""
        return list(self._client.json("GET", f"{self._path}/tuning")["curves"])

    def figure(
        self,
        name: str = "heatmap",
        *,
        task: str | None = None,
        optimizers: Sequence[str] = (),
        image_format: str = "svg",
    ) -> bytes:
        """Return a figure of what is recorded so far, as a file's bytes.

        Args:
            name: kind of figure; `GET /figures` lists them.
            task: label of the task; by default the first that can be shown, or all.
            optimizers: labels of those to show; by default all.
            image_format: svg, png or pdf; json for Plotly.

        Raises:
            ProblemError: for an unknown name, and where the runs do not allow the figure, with the reason.
        """
        params: dict[str, Any] = {"format": image_format, "optimizer": list(optimizers)}
        params |= {} if task is None else {"task": task}
        return self._client.request("GET", f"{self._path}/figures/{quote(name, safe='')}", params=params).content

    def records(self) -> pd.DataFrame:
        """Return one row a cell: what it is, how it ended, its scores and cost."""
        text = self._client.request("GET", f"{self._path}/records", params={"format": "csv"}).text
        return pd.read_csv(StringIO(text))

    def iter_records(self, *, curves: bool = False, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield its records, a page at a time; filters are `status`, `optimizer` and `task`."""
        yield from self._client.pages(f"{self._path}/records", {"curves": curves, "page_size": 500, **filters})

    def logs(self, *, tail: int = 200) -> str:
        """Return the last lines of the log of its drivers.

        Raises:
            ProblemError: when the server has no log of it, saying where it may be.
        """
        return self._client.request("GET", f"{self._path}/logs", params={"tail": tail}).text

    def follow_logs(self, *, tail: int = 200) -> Iterator[str]:
        """Yield the last lines of the log of its drivers, and each new one until the job has ended.

        Raises:
            ProblemError: as `logs` does; where the log may still come, it is waited for.
            ServerUnreachableError: when the server goes away meanwhile.
        """
        return self._client.lines(f"{self._path}/logs", {"tail": tail, "follow": True})

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

    def _detail(self, name: str) -> Any:
        """Return a value that jobs of a list come without: they are read again."""
        return (self.values if name in self.values else self.refresh().values)[name]

    def _steer(self, action: str, **options: Any) -> Self:
        self.values = self._client.json("POST", f"{self._path}/{action}", **options)
        return self
