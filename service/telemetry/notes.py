"""Notes of what is being done just now, which every message then bears: a request, a job, an attempt."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Note = str | int | float | bool | None
NO_NOTES: Mapping[str, Note] = MappingProxyType({})
_notes: ContextVar[Mapping[str, Note]] = ContextVar("rhobust_notes", default=NO_NOTES)


@contextmanager
def noted(**notes: Note) -> Iterator[None]:
    """Have every message of this thread or task bear some notes, in the block and in what it calls.

    Args:
        notes: by name: `request_id`, `job_id`, `attempt`.
    """
    token = _notes.set({**_notes.get(), **notes})
    try:
        yield
    finally:
        _notes.reset(token)


def current_notes() -> Mapping[str, Note]:
    """Return the notes that hold just now."""
    return _notes.get()
