"""What somebody else's task may raise, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import BenchmarkError, TaskFaultError


@contextmanager
def task_faults(name: str) -> Iterator[None]:
    """Raise a TaskFaultError, with the name of the task, for whatever its code raises in a block but our own errors."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:
        raise TaskFaultError(f"the code of the task '{name}' fails: {type(error).__name__}: {error}") from error
