"""The client: one server, its jobs, and requests that survive a hiccup."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from service.client.alerts import Alerts
from service.client.answers import JobRecord, Plan
from service.client.api_keys import ApiKeys
from service.client.baselines import Baselines
from service.client.connection import Connection, path_of, repeatable, server_address
from service.client.errors import foreign
from service.client.job import Job, document_of
from service.client.keys import bearer
from service.client.listing import Listing
from service.client.schedules import Schedules
from service.client.webhooks import Webhooks
from service.settings import Settings
from service.states import JobState

if TYPE_CHECKING:
    from benchmark import Spec
    from benchmark.robustness import RobustnessTable
    from service.compared import JobsCompared

TIMEOUT_S = 60.0
PATIENCE_S = 60.0
T = TypeVar("T")


class Client:
    """A client of one server.

    What only reads, and a submission, is sent again where there was no answer, with growing pauses; so a server that
    restarts is waited for, and a job is never submitted twice.

    Args:
        url: of the server; `RHOBUST_URL`, or http://127.0.0.1:8321, when None.
        api_key: that the server asks for; `RHOBUST_API_KEY`, or what the file `RHOBUST_API_KEY_FILE` holds, when None.
        timeout_s: for one request.
        patience_s: how long a request is tried again; at most 3 s before the server has answered once.
        transport: how requests are sent, for tests.

    Raises:
        ClientError: when the address can be none of a server; or when the key would go to another machine unencrypted,
            which `RHOBUST_INSECURE_HTTP=1` allows.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = Settings()
        address = server_address(url or settings.url)
        self._connection = Connection(
            address,
            auth=bearer(address, api_key, settings),
            timeout_s=timeout_s,
            patience_s=patience_s,
            transport=transport,
        )
        self._timeout_s = timeout_s

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._connection.url

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def submit(
        self,
        spec: "Spec | Mapping[str, Any] | str | Path",
        *,
        baseline: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a spec as a job.

        Args:
            spec: a spec, a mapping, or the path of a YAML or JSON file.
            baseline: name of a baseline, or id of a job, with which it will be compared: it is then trained as that
                was, fused or one cell after another.
            idempotency_key: under which a repeated call gives the same job; a new one by default, so that the
                client's own retries never submit twice.

        Raises:
            ProblemError: when the spec breaks a rule.
            ServerUnreachableError: when the server does not answer.
        """
        headers = repeatable(idempotency_key)
        params = {} if baseline is None else {"baseline": baseline}
        return self._job(self.json("POST", "/jobs", json=document_of(spec), params=params, headers=headers))

    def plan(self, spec: "Spec | Mapping[str, Any] | str | Path") -> Plan:
        """Return the price of a spec without running it; raises as `submit` does."""
        # It stores nothing, so the key is only a leave to send it again.
        headers = repeatable()
        return Plan.of(self.json("POST", "/jobs", json=document_of(spec), params={"dry_run": True}, headers=headers))

    def job(self, job_id: str) -> Job:
        """Return a job; raises NotFoundError when there is none of that id."""
        return self._job(self.json("GET", path_of("job", job_id)))

    def jobs(
        self,
        *,
        state: JobState | str | Sequence[JobState | str] | None = None,
        tag: str | Sequence[str] | None = None,
        task: str | None = None,
        text: str | None = None,
        submitted_by: str | None = None,
        sort: str | None = None,
    ) -> Listing[Job]:
        """Return the jobs, newest first unless sorted otherwise, which are read a page at a time as they are consumed.

        Args:
            state: only those in this state, or in any of these.
            tag: only those with this tag, or with all of these.
            task: only those with this task, by its name.
            text: only those with this in their name.
            submitted_by: only those of this submitter.
            sort: by `created_at`, `finished_at`, `priority` or `name`; with a minus before it the largest first.
        """
        filters: dict[str, Any] = {"state": state, "tag": tag, "task": task, "text": text}
        filters |= {"submitted_by": submitted_by, "sort": sort}
        params = {name: value for name, value in filters.items() if value is not None}
        columns = ("id", "name", "state", "done", "cells", "tags", "submitted")
        return Listing(lambda: map(self._job, self.pages("/jobs", params)), columns, _row)

    def table(self, job_ids: Sequence[str], *, apart: bool = False) -> "RobustnessTable":
        """Return one robustness table over several jobs, of what is recorded so far.

        Args:
            job_ids: of a cell that several of them recorded, the first with a result counts.
            apart: whether each job has rows of its own, `label@job`, also where optimizers are the same.

        Raises:
            ProblemError: when there is no job of an id, and where the jobs do not fit together, with what differs.
        """
        from benchmark.robustness import RobustnessTable

        return RobustnessTable.from_dict(self.json("GET", "/tables", params={"job": list(job_ids), "apart": apart}))

    def scores(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the best and the mean score of each optimizer of some jobs that have ended, and what they took.

        Args:
            job_ids: at most 100; a job that is not there is left out.
        """
        return list(self.json("GET", "/scores", params={"job": list(job_ids)})["items"])

    def compare(self, baseline: str, candidate: str) -> "JobsCompared":
        """Return what changed from a baseline to a job, of what is recorded so far.

        Args:
            baseline: name of a baseline, or id of a job, which has no limits.
            candidate: id of a job.

        Raises:
            NotFoundError: when there is neither a baseline nor a job of that name, or no candidate.
            ProblemError: when the two have no task, or no seed, in common.
        """
        from service.compared import JobsCompared

        params = {"baseline": baseline, "candidate": candidate, "format": "json"}
        return JobsCompared.from_dict(self.json("GET", "/comparisons", params=params))

    def record(self, record_id: str) -> JobRecord:
        """Return a record with its curve; raises NotFoundError when there is none of that id."""
        return JobRecord.of(self.json("GET", path_of("record", record_id)))

    def optimizers(self) -> list[dict[str, Any]]:
        """Return the optimizers that a spec may name, with their hyperparameters and where they come from."""
        return self.items("/optimizers")

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks that a spec may name, with their parameters, metrics and where they come from."""
        return self.items("/tasks")

    def measures(self) -> list[dict[str, Any]]:
        """Return the measures of a robustness table, with their definitions and sources."""
        return self.items("/measures")

    def figures(self) -> list[dict[str, Any]]:
        """Return the kinds of figures that `Job.figure` draws."""
        return self.items("/figures")

    def version(self) -> str:
        """Return the version of the server."""
        return str(_answer(self._connection.request("GET", "/version", prefix=""), dict)["version"])

    @property
    def alerts(self) -> Alerts:
        """The alerts of the server."""
        return Alerts(self)

    @property
    def baselines(self) -> Baselines:
        """The baselines of the server."""
        return Baselines(self)

    @property
    def schedules(self) -> Schedules:
        """The schedules of the server."""
        return Schedules(self)

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks of the server."""
        return Webhooks(self)

    @property
    def keys(self) -> ApiKeys:
        """The API keys of the server."""
        return ApiKeys(self)

    def _job(self, values: Mapping[str, Any]) -> Job:
        return Job(self, path_of("job", str(values["id"])), values)

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, a page at a time."""
        token = None
        while True:
            page = self.json("GET", path, params={**params, **({"page_token": token} if token else {})})
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def lines(self, path: str, params: Mapping[str, Any], *, read_timeout_s: float | None = None) -> Iterator[str]:
        """Yield the lines of a text as they come, for as long as the server goes on with it.

        Nothing may come for hours, which is no fault; that the server is there shows in its first answer.

        Args:
            path: what to read.
            params: of the query.
            read_timeout_s: how long nothing may come where more is promised.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer, or it breaks off.
        """
        with self._connection.stream(path, params, read_timeout_s=read_timeout_s) as response:
            yield from response.iter_lines()

    def download(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield a file in pieces as they come; raises as `lines` does."""
        with self._connection.stream(path, params, read_timeout_s=self._timeout_s) as response:
            yield from response.iter_bytes()

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the JSON of a list that comes whole; raises as `request` does."""
        return _answer(self.request("GET", path), list)

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request as `request` does and return the JSON of its answer."""
        return _answer(self.request(method, path, **options), dict)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again when there was no answer and sending it twice does no harm.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer after several tries.
        """
        return self._connection.request(method, path, **options)


def _answer(response: httpx.Response, kind: type[T]) -> T:
    """Return the JSON of an answer, which must be of this kind; raises ProblemError where it is not."""
    try:
        found = response.json()
    except ValueError:
        found = None
    if not response.is_success or not isinstance(found, kind):
        raise foreign(response)
    return found


def _row(job: Job) -> tuple[object, ...]:
    progress = job.progress
    tags = ", ".join(job.tags)
    return job.id, job.name, str(job.state), progress.n_done, progress.total, tags, job.created_at
