"""Jobs as people see them: find one, ask for a pause or an end, try again, delete, see how far it is."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from service.states import Action, JobState, next_request, next_state, require_allowed, require_extensible
from service.store import checks
from service.store.entering import enter
from service.store.entities import Job, Progress, Standing
from service.store.naming import require_unnamed
from service.store.part import IN_CHUNK, Part, chunks, has_known_form, job_from_row, known_form, not_found, read_job
from service.store.submitting import write_facets
from service.store.tables import db_now, facet, idempotency, job, link, origin, record
from service.store.tallying import count_progress, progress_of_jobs

RECORDS_LOCK = 0x52486F32  # held shared while records of other jobs are linked, and alone while records are deleted
_STANDING = select(job.c.state, job.c.revision).where(job.c.id == bindparam("job_id"))


class Jobs(Part):
    """Finding and steering jobs."""

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            NotFoundError: if there is none of that id.
        """
        with self._database.read() as connection:
            return read_job(connection, job_id)

    def standing(self, job_id: str) -> Standing:
        """Return where a job stands; raises as `job` does."""
        with self._database.read() as connection:
            row = connection.execute(_STANDING, {"job_id": known_form(job_id)}).first()
        if row is None:
            raise not_found(job_id)
        return Standing(JobState(row.state), row.revision)

    def jobs_of(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Return jobs by id; ids without a job are left out."""
        with self._database.read() as connection:
            return {
                row["id"]: job_from_row(row)
                for chunk in chunks([job_id for job_id in job_ids if has_known_form(job_id)], IN_CHUNK)
                for row in connection.execute(select(job).where(job.c.id.in_(chunk))).mappings()
            }

    def delete(self, job_id: str) -> None:
        """Delete a finished job, its links, and its records that no other job uses.

        Raises:
            NotFoundError: if there is none of that id.
            IllegalTransitionError: if it is not finished.
            InUseError: if a baseline names it, or a schedule still needs it.
        """
        with self._database.write() as connection:
            self._database.lock(connection, RECORDS_LOCK)
            found = read_job(connection, job_id, lock=True)
            require_allowed(found.state, Action.DELETE)
            require_unnamed(connection, found, Action.DELETE)
            connection.execute(delete(job).where(job.c.seq == found.seq))
            connection.execute(delete(idempotency).where(idempotency.c.resource_id == job_id))
            theirs = select(origin.c.seq).where(origin.c.job_id == job_id)
            unused = ~exists().where(link.c.record_seq == record.c.seq)
            connection.execute(delete(record).where(record.c.origin_seq.in_(theirs), unused))

    def pause(self, job_id: str) -> Job:
        """Pause a queued job, or ask the owner of a running one to.

        Raises:
            NotFoundError: if there is none of that id.
            IllegalTransitionError: if its state does not allow it.
        """
        return self._steer(job_id, Action.PAUSE)

    def cancel(self, job_id: str) -> Job:
        """Cancel a waiting job, or ask the owner of a running one to; raises as `pause` does."""
        return self._steer(job_id, Action.CANCEL)

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again; raises as `pause` does."""
        return self._steer(job_id, Action.RESUME)

    def retry(self, job_id: str, limits: Mapping[str, Any] | None = None) -> Job:
        """Queue a finished job again for its cells without a result.

        Args:
            job_id: which one.
            limits: values that replace those of the same names among the spec's limits.

        Raises:
            NotFoundError: if there is none of that id.
            IllegalTransitionError: if it is not finished, or every cell has its result.
        """
        return self._again(job_id, Action.RETRY, limits=checks.document("limits", limits or {}))

    def extend(self, job_id: str, spec: Mapping[str, Any], n_cells: int) -> Job:
        """Queue a finished job again with a larger spec, which includes all of its cells.

        Raises:
            NotFoundError: if there is none of that id.
            IllegalTransitionError: if it is not finished, or trains another job again: it has no cells but those.
            InUseError: if a baseline names it, or a schedule still needs it.
        """
        values = {"spec": checks.document("spec", spec), "n_cells": checks.integer("n_cells", n_cells)}
        return self._again(job_id, Action.EXTEND, values=values)

    def progress(self, job_id: str) -> Progress:
        """Return how far a job is.

        Raises:
            NotFoundError: if there is none of that id.
        """
        return self.job_and_progress(job_id)[1]

    def job_and_progress(self, job_id: str) -> tuple[Job, Progress]:
        """Return a job and how far it is, of one moment; raises as `job` does."""
        with self._database.read() as connection:
            found = read_job(connection, job_id)
            return found, progress_of_jobs(connection, [found])[found.id]

    def progress_of(self, job_ids: Collection[str]) -> dict[str, Progress]:
        """Return how far several jobs are; ids without a job are left out."""
        with self._database.read() as connection:
            found: dict[str, Progress] = {}
            for chunk in chunks([known_form(job_id) for job_id in job_ids], IN_CHUNK):
                found.update(count_progress(connection, chunk))
            return found

    def _steer(self, job_id: str, action: Action) -> Job:
        with self._database.write() as connection:
            found = read_job(connection, job_id, lock=True)
            after = next_state(found.state, action)
            if found.state is not JobState.RUNNING:
                return enter(connection, found.seq, after)
            request = next_request(found.requested, action)
            if _has_lapsed(connection, found):
                return enter(connection, found.seq, after)
            if request is found.requested:
                return found
            asked = update(job).where(job.c.seq == found.seq)
            asked = asked.values(requested=str(request), revision=job.c.revision + 1)
            return job_from_row(connection.execute(asked.returning(job)).mappings().one())

    def _again(
        self,
        job_id: str,
        action: Action,
        *,
        limits: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Job:
        with self._database.write() as connection:
            found = read_job(connection, job_id, lock=True)
            if action is Action.EXTEND:
                require_extensible(found.state, rerun_of=found.rerun_of)
                require_unnamed(connection, found, action)
            n_missing = count_progress(connection, [found.id])[found.id].n_missing
            after = next_state(found.state, action, n_missing=n_missing)
            changed = dict(values or {})
            if limits:
                changed["spec"] = {**found.spec, "limits": {**(found.spec.get("limits") or {}), **limits}}
            changed |= {"crashes": 0, "retried_after": found.attempt, "run_after": 0.0}
            queued = enter(connection, found.seq, after, **changed)
            if "spec" in changed:
                connection.execute(delete(facet).where(facet.c.job_seq == found.seq))
                write_facets(connection, queued)
            return queued


def _has_lapsed(connection: Connection, found: Job) -> bool:
    """Whether the owner of a running job went silent: nobody is left to ask."""
    lapsed = select(job.c.lease_until <= db_now()).where(job.c.seq == found.seq)
    return bool(connection.execute(lapsed).scalar_one())
