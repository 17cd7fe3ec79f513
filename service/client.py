"""The Python client: the REST API as objects, with retries, errors for people, and pandas out."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pandas as pd
from rich.console import Console

from benchmark import Problem, Spec
from benchmark.robustness import RobustnessTable
from service.progress import progress_bar
from service.settings import Settings

PREFIX = "/api/v1"
TIMEOUT_S = 60.0
N_TRIES = 4
POLL_S = 0.5
ENDED = frozenset({"completed", "failed", "cancelled"})


class ClientError(Exception):
    """Base of the client's errors."""


class ServerUnreachableError(ClientError):
    """The server did not answer, or could not reach its own database, after several tries."""


class ProblemError(ClientError):
    """The server refused a request.

    Attributes:
        status: HTTP status.
        problems: what is wrong, with pointers into what was sent.
        request_id: by which the server's log knows the request.
    """

    def __init__(self, status: int, detail: str, problems: tuple[Problem, ...], request_id: str) -> None:
        self.status, self.problems, self.request_id = status, problems, request_id
        super().__init__("\n  ".join([detail, *map(str, problems)] if len(problems) > 1 else [detail]))


class WaitTimeoutError(ClientError):
    """A job did not end in the time that was given."""


class Client:
    """A client of one server.

    Args:
        url: of the server; `RHOBUST_URL`, or http://127.0.0.1:8321, when None.
        timeout_s: for one request.
        transport: how requests are sent, for tests.
    """

    def __init__(
        self, url: str | None = None, *, timeout_s: float = TIMEOUT_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = (url or Settings().url).rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, spec: Spec | Mapping[str, Any] | str | Path, *, idempotency_key: str | None = None) -> "Job":
        """Submit a spec as a job.

        Args:
            spec: a spec, a mapping, or the path of a YAML or JSON file.
            idempotency_key: under which a repeated call gives the same job; a new one by default, so that the
                client's own retries never submit twice.

        Raises:
            ProblemError: when the spec breaks a rule.
            ServerUnreachableError: when the server does not answer.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Job(self, self._request("POST", "/jobs", json=_document(spec), headers=headers).json())

    def plan(self, spec: Spec | Mapping[str, Any] | str | Path) -> dict[str, Any]:
        """Return the price of a spec without running it; raises as `submit` does."""
        plan: dict[str, Any] = self._request("POST", "/jobs", json=_document(spec), params={"dry_run": True}).json()
        return plan

    def job(self, job_id: str) -> "Job":
        """Return a job; raises ProblemError when there is none of that id."""
        return Job(self, self._request("GET", f"/jobs/{job_id}").json())

    def jobs(self, **filters: str) -> Iterator["Job"]:
        """Yield jobs, newest first, a page at a time; filters are `state`, `tag`, `task` and `text`."""
        yield from (Job(self, item) for item in self._pages("/jobs", filters))

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            page = self._request("GET", path, params={**params, **({"page_token": token} if token else {})}).json()
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again when there was no answer and sending it twice does no harm."""
        may_repeat = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        tries = N_TRIES if may_repeat else 1
        for count in range(1, tries + 1):
            try:
                response = self._http.request(method, PREFIX + path, **options)
            except httpx.TransportError as error:
                failure = (
                    f"no answer from {self.url}: {str(error) or type(error).__name__}. Is `rhobust serve` running?"
                )
                if count == tries:
                    raise ServerUnreachableError(failure) from error
            else:
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return _checked(response)
                if count == tries:
                    raise ServerUnreachableError(f"{self.url} cannot serve now: {_problem(response)}")
            time.sleep(0.2 * 2**count)
        raise AssertionError("unreachable: the last try returns or raises")


class Job:
    """A job of a server, as it was when it was last read; `refresh` reads it again."""

    def __init__(self, client: Client, values: Mapping[str, Any]) -> None:
        self._client = client
        self.values = dict(values)

    def __repr__(self) -> str:
        progress = self.progress
        n_done = progress["total"] - n_left(progress)
        return f"<Job {self.id} {self.name!r} {self.state} {n_done}/{progress['total']}>"

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
    def url(self) -> str:
        """The page of the job in the dashboard."""
        return f"{self._client.url}/jobs/{self.id}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.state in ENDED

    def refresh(self) -> Self:
        """Read the job again."""
        self.values = self._client._request("GET", self._path).json()
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

    def table(self) -> RobustnessTable:
        """Return its robustness table, of what is recorded so far."""
        return RobustnessTable.from_dict(self._client._request("GET", f"{self._path}/table").json())

    def surface(self, split: str = "test") -> list[dict[str, Any]]:
        """Return the response surface of every optimizer on every task, by `validation` or `test` scores."""
        surfaces = self._client._request("GET", f"{self._path}/surface", params={"split": split}).json()["surfaces"]
        return list(surfaces)

    def records(self) -> pd.DataFrame:
        """Return one row a cell: what it is, how it ended, its scores and cost."""
        text = self._client._request("GET", f"{self._path}/records", params={"format": "csv"}).text
        return pd.read_csv(StringIO(text))

    def iter_records(self, *, curves: bool = False, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield its records, a page at a time; filters are `status`, `optimizer` and `task`."""
        yield from self._client._pages(f"{self._path}/records", {"curves": curves, "page_size": 500, **filters})

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

    def delete(self) -> None:
        """Delete the ended job and the records that no other job uses."""
        self._client._request("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/jobs/{self.id}"

    def _steer(self, action: str, **options: Any) -> Self:
        self.values = self._client._request("POST", f"{self._path}/{action}", **options).json()
        return self


def n_left(progress: Mapping[str, Any]) -> int:
    """Return the number of cells without a record."""
    return int(progress["total"] - sum(progress[name] for name in ("completed", "diverged", "timed_out", "failed")))


def _document(spec: Spec | Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    if isinstance(spec, str | Path):
        spec = Spec.from_file(spec)
    return spec.to_dict() if isinstance(spec, Spec) else dict(spec)


def _problem(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_error:
        return response
    try:
        document = response.json()
        problems = tuple(Problem(item["pointer"], item["detail"]) for item in document["errors"])
        raise ProblemError(response.status_code, document["detail"], problems, document["request_id"])
    except (ValueError, KeyError, TypeError):
        detail = f"{response.status_code} {response.reason_phrase}: is {response.url} a Rhobust server?"
        raise ProblemError(response.status_code, detail, (), "") from None
