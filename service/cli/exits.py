"""Exit codes, and which error ends in which."""

from enum import IntEnum

from pydantic import ValidationError

from benchmark import BenchmarkError, PluginError, RayUnavailableError, TaskDataError
from service.client import ClientError, ServerFaultError, ServerUnreachableError
from service.environment import EnvironmentProblemError
from service.states import IllegalTransitionError
from service.store import StoreError


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    FINE = 0
    REGRESSION = 1
    USAGE = 2
    JOB_FAILED = 3
    UNREACHABLE = 4
    ENVIRONMENT = 5


# The first line that fits decides.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (ServerFaultError, ExitCode.UNREACHABLE),
    (EnvironmentProblemError, ExitCode.ENVIRONMENT),
    (RayUnavailableError, ExitCode.ENVIRONMENT),
    (TaskDataError, ExitCode.ENVIRONMENT),
    (PluginError, ExitCode.ENVIRONMENT),
    (StoreError, ExitCode.ENVIRONMENT),
    (ClientError, ExitCode.USAGE),
    (BenchmarkError, ExitCode.USAGE),
    (IllegalTransitionError, ExitCode.USAGE),
    (ValidationError, ExitCode.USAGE),
)
EXPECTED = tuple(kind for kind, _ in _CODES)


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code of an expected error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def message(error: Exception) -> str:
    """Return what an expected error says to people."""
    if isinstance(error, ValidationError):
        parts = [f"{_variable(item['loc'])}{item['msg'].removeprefix('Value error, ')}" for item in error.errors()]
        return f"the environment is not valid: {'; '.join(parts)}"
    return str(error)


def _variable(location: tuple[int | str, ...]) -> str:
    return f"RHOBUST_{str(location[0]).upper()}: " if location else ""
