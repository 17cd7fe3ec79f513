"""Exit codes, and which error ends in which."""

import os
from enum import IntEnum

from pydantic import ValidationError

from benchmark import BenchmarkError, PluginError, RayUnavailableError, TaskDataError
from service.client import ClientError, ServerFaultError, ServerUnreachableError
from service.configuration import ConfigurationError, configuration_path
from service.environment import EnvironmentProblemError
from service.states import IllegalTransitionError
from service.store import InvalidValueError, NotFoundError, StoreError


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    FINE = 0
    REGRESSION = 1
    USAGE = 2
    JOB_FAILED = 3
    UNREACHABLE = 4
    ENVIRONMENT = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


# The first line that fits decides.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (ServerFaultError, ExitCode.UNREACHABLE),
    (EnvironmentProblemError, ExitCode.ENVIRONMENT),
    (RayUnavailableError, ExitCode.ENVIRONMENT),
    (TaskDataError, ExitCode.ENVIRONMENT),
    (PluginError, ExitCode.ENVIRONMENT),
    (InvalidValueError, ExitCode.USAGE),
    (NotFoundError, ExitCode.USAGE),
    (StoreError, ExitCode.ENVIRONMENT),
    (ClientError, ExitCode.USAGE),
    (BenchmarkError, ExitCode.USAGE),
    (IllegalTransitionError, ExitCode.USAGE),
    (ConfigurationError, ExitCode.USAGE),
    (ValidationError, ExitCode.USAGE),
)
EXPECTED = tuple(kind for kind, _ in _CODES)


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code of an expected error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def message(error: Exception) -> str:
    """Return what an expected error says to people."""
    if isinstance(error, ValidationError):
        parts = [f"{_origin(item['loc'])}{item['msg'].removeprefix('Value error, ')}" for item in error.errors()]
        return f"the settings are not valid: {'; '.join(parts)}"
    return str(error)


def _origin(location: tuple[int | str, ...]) -> str:
    """Return where a setting comes from: its variable, or the file where that is not set."""
    name = str(location[0]) if location else ""
    variable = f"RHOBUST_{name.upper()}"
    if not name or os.environ.get(variable):
        return f"{variable}: " if name else ""
    return f"{name} in {configuration_path()}: "
