"""Lists of jobs: found by what they are, in an order, and gone on with after any job of it."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Select, func, or_, select, tuple_

from service.states import JobState
from service.store import checks
from service.store.entities import Job
from service.store.errors import InvalidValueError
from service.store.part import Part, job_from_row
from service.store.tables import facet, job


class JobOrder(StrEnum):
    """What a list of jobs is sorted by; a minus puts what is largest, newest or last in the alphabet first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LAST_FINISHED = "-finished_at"
    FIRST_FINISHED = "finished_at"
    HIGHEST_PRIORITY = "-priority"
    LOWEST_PRIORITY = "priority"
    NAME = "name"
    NAME_BACKWARDS = "-name"

    @property
    def is_descending(self) -> bool:
        """Whether the largest value comes first."""
        return self.startswith("-")

    @property
    def column(self) -> str:
        """Name of what is compared."""
        return self.removeprefix("-")


@dataclass(frozen=True, slots=True)
class JobPosition:
    """A place in a list: behind the job with this value of what the list is sorted by, and this `seq`."""

    value: int | float | str | None
    seq: int


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a list: as much as tells whether more of it is known already.

    Attributes:
        position: the place behind it.
    """

    id: str
    revision: int
    position: JobPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs are listed. Sorted by when they finished, those that have not are last, whatever the direction.

    Attributes:
        states: only those in one of these states; in any if none is given.
        tags: only those with all of these tags.
        text: only those with this text in their name or at the start of their id, whatever its case.
        task: only those with a task of this name or label.
        submitted_by: only those of this submitter.
        order: by what they are sorted; of those that are equal in it, the older or the newer first, as the rest.
        limit: at most so many.
        after: only those behind this place, that of the last one of a list.
    """

    states: Collection[JobState] = ()
    tags: Collection[str] = ()
    text: str | None = None
    task: str | None = None
    submitted_by: str | None = None
    order: JobOrder = JobOrder.NEWEST
    limit: int = 50
    after: JobPosition | None = None


ALL_JOBS = JobQuery()


class Listing(Part):
    """Finding jobs."""

    def jobs(self, query: JobQuery = ALL_JOBS) -> list[Job]:
        """Return the jobs that a query is for; raises as `listed` does."""
        with self._database.read() as connection:
            return [job_from_row(row) for row in _found(connection, select(job), query)]

    def listed(self, query: JobQuery) -> list[ListedJob]:
        """Return which jobs a query is for.

        Raises:
            InvalidValueError: if a value is none that the databases can compare.
        """
        of_order = "seq" if query.order.column == "created_at" else query.order.column
        columns = [job.c[name] for name in dict.fromkeys(("id", "revision", "seq", of_order))]
        with self._database.read() as connection:
            rows = _found(connection, select(*columns), query)
        return [
            ListedJob(row["id"], row["revision"], JobPosition(None if of_order == "seq" else row[of_order], row["seq"]))
            for row in rows
        ]


def _found(connection: Connection, statement: Select[Any], query: JobQuery) -> list[RowMapping]:
    """Return the rows of a query."""
    if query.states:
        statement = statement.where(job.c.state.in_([str(state) for state in query.states]))
    words = [("tag", tag) for tag in query.tags] + ([] if query.task is None else [("task", query.task)])
    for kind, value in words:
        match = (facet.c.kind == kind, facet.c.value == checks.text(kind, value))
        statement = statement.where(job.c.seq.in_(select(facet.c.job_seq).where(*match)))
    if query.text is not None:
        lowered = checks.text("text", query.text).lower()
        in_name = func.lower(job.c.name).contains(lowered, autoescape=True)
        statement = statement.where(or_(in_name, job.c.id.startswith(lowered, autoescape=True)))
    if query.submitted_by is not None:
        statement = statement.where(job.c.submitted_by == checks.text("submitted_by", query.submitted_by))
    n_left = checks.integer("limit", query.limit)
    if query.after is not None:
        _check(query.after, query.order)
    found: list[RowMapping] = []
    for part in _parts(statement, query.order, query.after):
        found += connection.execute(part.limit(n_left - len(found))).mappings()
        if len(found) == n_left:
            break
    return found


def _parts(statement: Select[Any], order: JobOrder, after: JobPosition | None) -> list[Select[Any]]:
    """Return the statements whose rows follow each other in the list; each reads along an index."""
    if order.column == "created_at":
        return [_ordered(statement, order, (job.c.seq,), None if after is None else (after.seq,))]
    column = job.c[order.column]
    values = None if after is None or after.value is None else (after.value, after.seq)
    if order.column != "finished_at":
        return [_ordered(statement, order, (column, job.c.seq), values)]
    ended = _ordered(statement.where(column.is_not(None)), order, (column, job.c.seq), values)
    behind = None if after is None or after.value is not None else (after.seq,)
    unended = _ordered(statement.where(column.is_(None)), order, (job.c.seq,), behind)
    return [unended] if behind else [ended, unended]


def _ordered(
    statement: Select[Any], order: JobOrder, columns: tuple[Column[Any], ...], after: tuple[Any, ...] | None
) -> Select[Any]:
    if after is not None:
        place, behind = tuple_(*columns), tuple_(*after)
        statement = statement.where(place < behind if order.is_descending else place > behind)
    return statement.order_by(*(column.desc() if order.is_descending else column for column in columns))


def _check(after: JobPosition, order: JobOrder) -> None:
    """Refuse a place that no list of this order has."""
    checks.integer("seq", after.seq)
    value = after.value
    if isinstance(value, str):
        checks.text("name", value, limit=checks.MAX_LABEL)
    fits = {
        "created_at": value is None,
        "finished_at": value is None or (type(value) is float and math.isfinite(value)),
        "priority": type(value) is int and abs(value) <= checks.MAX_SMALL,
        "name": isinstance(value, str),
    }
    if not fits[order.column]:
        raise InvalidValueError(f"a list sorted by {order} has no place behind {value!r}.")
