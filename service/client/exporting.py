"""Files for other tools: their formats, how they come to be whole, and what of a job stands in an Optuna study."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmark.records import Scalar
from service.client.answers import JobRecord
from service.client.errors import ClientError

ExportFormat = Literal["csv", "parquet", "optuna"]
ENDINGS: Mapping[str, ExportFormat] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".db": "optuna",
    ".sqlite": "optuna",
    ".sqlite3": "optuna",
}


class Source(Protocol):
    """What an export reads of a job."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def spec(self) -> dict[str, Any]:
        """What it runs."""

    @property
    def url(self) -> str:
        """Its page."""

    def surface_documents(self, split: Literal["validation", "test"]) -> list[dict[str, Any]]:
        """Return its surfaces."""

    def iter_records(self, *, curves: bool) -> Iterable[JobRecord]:
        """Yield its records."""


def format_of(path: Path) -> ExportFormat:
    """Return the format that the ending of a file says; raises ClientError where it says none."""
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ClientError(f"the ending of {path.name!r} says no format; it must be one of {', '.join(ENDINGS)}.")
    return found


@contextlib.contextmanager
def unfinished(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield a file beside `path` that takes its name when all went well; nothing is left of it otherwise.

    Raises:
        ClientError: when `path` exists and is not to be replaced, or cannot be written.
    """
    require_new(path, force=force)
    unnamed = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield unnamed
        require_new(path, force=force)
        unnamed.replace(path)
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            unnamed.unlink(missing_ok=True)


def require_new(path: Path, *, force: bool) -> None:
    """Raise ClientError where a path exists and is not to be replaced."""
    if not force and os.path.lexists(path):
        raise ClientError(f"{path} exists already, and is replaced only with --force (force=True).")


def write_optuna(job: Source, path: Path, on_trial: Callable[[int], None]) -> None:
    """Write the results of a job as Optuna studies into a new SQLite file."""
    from benchmark.studies import write_studies  # Optuna takes a second to load

    write_studies(
        path,
        job.surface_documents("validation"),
        job.iter_records(curves=True),
        about={"job": job.id, "job_name": job.name, "url": job.url},
        interval_of=lambda optimizer, axis: interval_of(job.spec, optimizer, axis),
        on_trial=on_trial,
    )


def interval_of(spec: Mapping[str, Any], optimizer: str, axis: str) -> tuple[Scalar, Scalar] | None:
    """Return the ends of the interval of a hyperparameter in a spec; None where it lists values, or is a control's.

    Args:
        spec: as the server tells it. It is not resolved here: it may name a plug-in that only the server has.
        optimizer: label of the optimizer.
        axis: name of the hyperparameter.
    """
    entries = (entry for entry in spec["optimizers"] if entry.get("label", entry["name"]) == optimizer)
    entry: Mapping[str, Any] = next(entries, {})
    space = {**spec["space"], **entry.get("space", {})}
    for scale in ("log", "linear"):
        if scale in space.get(axis, {}):
            low, high = space[axis][scale]
            return low, high
    return None
