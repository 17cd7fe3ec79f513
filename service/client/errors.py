"""The client's errors, and what a response that is one says.

ClientError
├── ServerUnreachableError  no answer, or the server cannot reach its own database
├── ProblemError            the server refused a request, or is none of ours
└── WaitTimeoutError        a job did not end in the time that was given
"""

import httpx

from benchmark import Problem


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
        # A single problem of a spec is the detail already.
        super().__init__("\n  ".join([detail, *(str(one) for one in problems if one.detail not in detail)]))


class WaitTimeoutError(ClientError):
    """A job did not end in the time that was given."""


def reason_of(response: httpx.Response) -> str:
    """Return what a refusal says, in a sentence."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase


def checked(response: httpx.Response) -> httpx.Response:
    """Return a response that is no error; raise ProblemError for one that is."""
    if not response.is_error:
        return response
    try:
        document = response.json()
        problems = tuple(Problem(item["pointer"], item["detail"]) for item in document["errors"])
        raise ProblemError(response.status_code, document["detail"], problems, document["request_id"])
    except (ValueError, KeyError, TypeError):
        raise foreign(response) from None


def foreign(response: httpx.Response) -> ProblemError:
    """Return the error for a response that no server of ours would give."""
    detail = f"{response.status_code} {response.reason_phrase}: is {response.url} a Rhobust server?"
    return ProblemError(response.status_code, detail, (), "")
