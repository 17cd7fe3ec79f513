"""The client: one server, its jobs, and requests that survive a hiccup."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from benchmark import Spec
from benchmark.robustness import RobustnessTable
from service.client.errors import ClientError, ServerUnreachableError, checked, foreign, reason_of
from service.client.job import Job, document_of
from service.client.keys import LOOPBACK, bearer
from service.settings import Settings

PREFIX = "/api/v1"
TIMEOUT_S = 60.0
N_TRIES = 4


class Client:
    """A client of one server.

    Args:
        url: of the server; `RHOBUST_URL`, or http://127.0.0.1:8321, when None.
        api_key: that the server asks for; `RHOBUST_API_KEY`, or what the file `RHOBUST_API_KEY_FILE` holds, when None.
        timeout_s: for one request.
        transport: how requests are sent, for tests.

    Raises:
        ClientError: when the key would go to another machine unencrypted, which `RHOBUST_INSECURE_HTTP=1` allows.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = Settings()
        self.url = (url or settings.url).rstrip("/")
        # A proxy of the environment cannot reach our loopback.
        is_remote = urlsplit(self.url).hostname not in LOOPBACK
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout_s,
            transport=transport,
            trust_env=is_remote,
            auth=bearer(self.url, api_key, settings),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, spec: Spec | Mapping[str, Any] | str | Path, *, idempotency_key: str | None = None) -> Job:
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
        return self._job(self.json("POST", "/jobs", json=document_of(spec), headers=headers))

    def plan(self, spec: Spec | Mapping[str, Any] | str | Path) -> dict[str, Any]:
        """Return the price of a spec without running it; raises as `submit` does."""
        return self.json("POST", "/jobs", json=document_of(spec), params={"dry_run": True})

    def job(self, job_id: str) -> Job:
        """Return a job; raises ProblemError when there is none of that id."""
        return self._job(self.json("GET", _job_path(job_id)))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """Yield jobs, newest first, a page at a time; filters are `state`, `tag`, `task` and `text`."""
        yield from map(self._job, self.pages("/jobs", filters))

    def table(self, job_ids: Sequence[str]) -> RobustnessTable:
        """Return one robustness table over several jobs, of what is recorded so far.

        Args:
            job_ids: of a cell that several of them recorded, the first with a result counts.

        Raises:
            ProblemError: when there is no job of an id, and where the jobs do not fit together, with what differs.
        """
        return RobustnessTable.from_dict(self.json("GET", "/tables", params={"job": list(job_ids)}))

    def _job(self, values: Mapping[str, Any]) -> Job:
        return Job(self, _job_path(str(values["id"])), values)

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, a page at a time."""
        token = None
        while True:
            page = self.json("GET", path, params={**params, **({"page_token": token} if token else {})})
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def lines(self, path: str, params: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of a text as they come, for as long as the server goes on with it.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer, or it breaks off.
        """
        # Nothing may come for hours, which is no fault; that the server is there shows in its first answer.
        timeout = httpx.Timeout(self._http.timeout.connect, read=None)
        try:
            with self._http.stream("GET", PREFIX + path, params=params, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                yield from checked(response).iter_lines()
        except httpx.TransportError as error:
            raise ServerUnreachableError(_no_answer(self.url, error)) from error

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request as `request` does and return the JSON of its answer."""
        response = self.request(method, path, **options)
        try:
            document = response.json()
        except ValueError:
            document = None
        if not response.is_success or not isinstance(document, dict):
            raise foreign(response)
        return document

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again when there was no answer and sending it twice does no harm.

        Raises:
            ProblemError: when the server refuses it.
            ServerUnreachableError: when there is no answer after several tries.
        """
        may_repeat = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        tries = N_TRIES if may_repeat else 1
        for count in range(1, tries + 1):
            try:
                response = self._http.request(method, PREFIX + path, **options)
            except httpx.TransportError as error:
                if count == tries:
                    raise ServerUnreachableError(_no_answer(self.url, error)) from error
            else:
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return checked(response)
                if count == tries:
                    raise ServerUnreachableError(f"{self.url} cannot serve now: {reason_of(response)}")
            time.sleep(0.2 * 2**count)
        raise AssertionError("unreachable: the last try returns or raises")


def _no_answer(url: str, error: httpx.TransportError) -> str:
    return f"no answer from {url}: {str(error) or type(error).__name__}. Is `rhobust serve` running?"


def _job_path(job_id: str) -> str:
    if not job_id:
        raise ClientError("the id of a job must not be empty.")
    return f"/jobs/{quote(job_id, safe='')}"
