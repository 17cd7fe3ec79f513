"""The client's errors, and what a response that is one says.

ClientError
├── ServerUnreachableError    no answer, for as long as the client is patient
├── WaitTimeoutError          a job did not end in the time that was given
└── ProblemError              the server refused a request, or is none of ours
    ├── UnauthorizedError     401, 403: no key that is known, or one without the scope
    ├── NotFoundError         404
    ├── ConflictError         409: the state of the job does not allow it
    ├── RateLimitedError      429, with the seconds after which to come again
    └── ServerFaultError      5xx: an error of the server's own, or it cannot serve now
"""

import email.utils
import time
from collections.abc import Sequence

import httpx

from benchmark import Problem


class ClientError(Exception):
    """Base of the client's errors."""


class ServerUnreachableError(ClientError):
    """The server did not answer, for as long as the client is patient."""


class WaitTimeoutError(ClientError):
    """A job did not end in the time that was given."""


class ProblemError(ClientError):
    """The server refused a request: its problem document (RFC 9457).

    Attributes:
        status: HTTP status.
        title: what the status is called.
        detail: what is wrong, in a sentence.
        errors: each broken rule, with a JSON pointer into what was sent; empty where there is none to point at.
        request_id: by which the server's log knows the request; empty where the answer is none of our server's.
        retry_after_s: seconds after which to come again; None where the server names none.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        errors: Sequence[Problem] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.status, self.title, self.detail = status, title, detail
        self.errors, self.request_id, self.retry_after_s = tuple(errors), request_id, retry_after_s
        # A single problem of a spec is the detail already.
        message = "\n  ".join([detail, *(str(one) for one in errors if one.detail not in detail)])
        is_fault = request_id and status >= httpx.codes.INTERNAL_SERVER_ERROR  # the server's log has more of it
        super().__init__(f"{message} (request {request_id})" if is_fault else message)


class UnauthorizedError(ProblemError):
    """The server knows no such key, or the key's scopes do not allow the request."""


class NotFoundError(ProblemError):
    """There is nothing of that id."""


class ConflictError(ProblemError):
    """The state of the job does not allow the request."""


class RateLimitedError(ProblemError):
    """Too many requests, or too many jobs that wait."""


class ServerFaultError(ProblemError):
    """The server met an error of its own, or cannot serve now."""


_CLASSES: dict[int, type[ProblemError]] = {
    httpx.codes.UNAUTHORIZED: UnauthorizedError,
    httpx.codes.FORBIDDEN: UnauthorizedError,
    httpx.codes.NOT_FOUND: NotFoundError,
    httpx.codes.CONFLICT: ConflictError,
    httpx.codes.TOO_MANY_REQUESTS: RateLimitedError,
}


def checked(response: httpx.Response) -> httpx.Response:
    """Return a response that is no error; raise ProblemError for one that is."""
    if response.is_error:
        raise problem_of(response)
    return response


def problem_of(response: httpx.Response) -> ProblemError:
    """Return the error that a response with a problem document stands for, or that it is none of ours."""
    status = response.status_code
    kind = ServerFaultError if response.is_server_error else _CLASSES.get(status, ProblemError)
    try:
        document = response.json()
        return kind(
            status,
            document["detail"],
            title=document["title"],
            errors=[Problem(item["pointer"], item["detail"], item.get("line")) for item in document["errors"]],
            request_id=document["request_id"],
            retry_after_s=retry_after_s(response),
        )
    except (ValueError, KeyError, TypeError):
        return foreign(response)


def foreign(response: httpx.Response) -> ProblemError:
    """Return the error for a response that no server of ours would give."""
    kind = ServerFaultError if response.is_server_error else ProblemError  # a page that is missing elsewhere is no job
    title = response.reason_phrase
    detail = f"{response.status_code} {title}: is {response.url} a Rhobust server?"
    return kind(response.status_code, detail, title=title, retry_after_s=retry_after_s(response))


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds after which a response asks to come again, given as seconds or as a date; None without."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
