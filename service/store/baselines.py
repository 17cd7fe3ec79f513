"""Baselines: completed jobs under names, with which others are compared."""

import math
import re
from collections.abc import Mapping

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from service.keys import new_id
from service.states import JobState
from service.store import checks
from service.store.entities import Job
from service.store.errors import InvalidValueError, NotFoundError, UnfitJobError
from service.store.part import Part, insert_into, oldest_page, read_job
from service.store.regression_entities import BASELINE_NAME, Baseline
from service.store.regression_tables import baseline, replay
from service.store.tables import db_now, job, link, record
from service.store.tallying import count_progress


class Baselines(Part):
    """Setting, finding and deleting baselines."""

    def set_baseline(
        self, name: str, job_id: str, y_ref: Mapping[str, float], *, revision: int, principal: str = "local"
    ) -> tuple[Baseline, bool]:
        """Give a job a name, or a name another job: then its limits go, which are those of the job that it named.

        Args:
            name: letters, digits, dots, hyphens and underscores.
            job_id: a completed job; to set a name to its job again changes nothing.
            y_ref: the reference of each task in the job's table, by label, in raw units.
            revision: of the job when its table was made.
            principal: who sets it.

        Returns:
            The baseline as it is now, and whether this call made it.

        Raises:
            NotFoundError: if there is no job of that id.
            UnfitJobError: if the job is not completed, lacks cells, was not made in one way, or replays another one.
            InvalidValueError: if the name or a reference cannot be kept.
        """
        values = {
            "y_ref": _checked(y_ref),
            "alarm_rate": None,
            "limits": None,
            "set_at": db_now(),
            "set_by": checks.text("principal", principal),
        }
        if not re.fullmatch(BASELINE_NAME, name):
            raise InvalidValueError(f"the name of a baseline must match {BASELINE_NAME}, but got {name[:200]!r}.")
        with self._database.write() as connection:
            found = read_job(connection, job_id, lock=True)
            _require_fit(connection, found, revision)
            new = insert_into(connection, baseline).values(
                id=new_id(), name=name, job_seq=found.seq, revision=1, **values
            )
            made = connection.execute(new.on_conflict_do_nothing(index_elements=["name"]).returning(baseline.c.seq))
            is_new = made.first() is not None
            known = read_baseline(connection, name, lock=True)
            if is_new or known.job_seq == found.seq:
                return known, is_new
            connection.execute(delete(replay).where(replay.c.baseline_seq == known.seq))
            moved = update(baseline).where(baseline.c.seq == known.seq)
            connection.execute(moved.values(job_seq=found.seq, revision=known.revision + 1, **values))
            return read_baseline(connection, name), False

    def baseline(self, name: str) -> Baseline:
        """Return a baseline.

        Raises:
            NotFoundError: if there is none of that name.
        """
        with self._database.read() as connection:
            return read_baseline(connection, name)

    def baselines(self, limit: int = 50, after: int = 0) -> list[Baseline]:
        """Return baselines, oldest first, at most `limit` of those made after the one with the `seq` of `after`."""
        statement = oldest_page(BASELINES, baseline.c.seq, limit, after)
        with self._database.read() as connection:
            return [baseline_from_row(row) for row in connection.execute(statement).mappings()]

    def baselines_of(self, job_id: str) -> list[Baseline]:
        """Return the baselines that name a job, oldest first; none where there is no such job."""
        statement = BASELINES.where(job.c.id == job_id).order_by(baseline.c.seq)
        with self._database.read() as connection:
            return [baseline_from_row(row) for row in connection.execute(statement).mappings()]

    def delete_baseline(self, name: str) -> None:
        """Take a name from its job, which stays; raises NotFoundError if there is no baseline of that name."""
        with self._database.write() as connection:
            found = read_baseline(connection, name, lock=True)
            connection.execute(delete(baseline).where(baseline.c.seq == found.seq))


BASELINES = select(baseline, job.c.id.label("job_id"), job.c.name.label("job_name")).join(job)


def read_baseline(connection: Connection, name: str, *, lock: bool = False) -> Baseline:
    """Return a baseline, locked against other writers on demand.

    Raises:
        NotFoundError: if there is none of that name.
    """
    missing = NotFoundError(f"there is no baseline {name[:200]!r}.")
    if not re.fullmatch(BASELINE_NAME, name):
        raise missing
    if lock:  # alone: PostgreSQL finds no row where the one it waited for has been joined to another job meanwhile
        connection.execute(select(baseline.c.seq).where(baseline.c.name == name).with_for_update())
    row = connection.execute(BASELINES.where(baseline.c.name == name)).mappings().one_or_none()
    if row is None:
        raise missing
    return baseline_from_row(row)


def baseline_from_row(row: RowMapping) -> Baseline:
    """Return the baseline of a row of `BASELINES`."""
    return Baseline(**row)


def _checked(y_ref: Mapping[str, float]) -> dict[str, float]:
    unbound = {task: value for task, value in y_ref.items() if not math.isfinite(value)}
    if unbound:
        raise InvalidValueError(f"a reference must be finite, but got {unbound}.")
    return {checks.text("a task", task): float(value) for task, value in y_ref.items()}


def _require_fit(connection: Connection, found: Job, revision: int) -> None:
    """Raise UnfitJobError unless a job can be a baseline as it is, and is as it was when its table was made."""
    if found.state is not JobState.COMPLETED:
        raise UnfitJobError(f"a baseline must be a job that is completed, but job {found.id} is {found.state}.")
    if found.replay:
        raise UnfitJobError(
            f"a baseline must be trained as it is, but job {found.id} replays another one under a harmless change."
        )
    n_missing = count_progress(connection, [found.id])[found.id].n_missing
    if n_missing:
        raise UnfitJobError(
            f"every cell of a baseline must have a result, but {n_missing:,} of {found.n_cells:,} of job {found.id} "
            "have none: retry it, which trains what is missing."
        )
    if _is_mixed(connection, found):
        raise UnfitJobError(
            f"a baseline must be made in one way, but job {found.id} is mixed: cells that differ only in "
            "hyperparameters or seed were made under several fingerprints. Submit its spec again with reuse: false."
        )
    if found.revision != revision:
        raise UnfitJobError(f"job {found.id} changed while it was made a baseline; try again.")


def _is_mixed(connection: Connection, found: Job) -> bool:
    """Whether cells of one setting were made under different fingerprints."""
    made_by = (
        select(record.c.setting_seq)
        .join(link, link.c.record_seq == record.c.seq)
        .where(link.c.job_seq == found.seq)
        .group_by(record.c.setting_seq)
        .having(func.count(record.c.fingerprint_seq.distinct()) > 1)
    )
    return connection.execute(made_by.limit(1)).first() is not None
