"""A job in short, as plain values: what the API lists, and what webhooks tell."""

from datetime import UTC, datetime
from typing import Any

from service.states import JobState, offered_actions
from service.store.entities import Job, Progress


def job_values(job: Job, progress: Progress) -> dict[str, Any]:
    """Return the values of a job."""
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "requested": job.requested,
        "tags": list(job.tags),
        "priority": job.priority,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "revision": job.revision,
        "fingerprints": list(progress.fingerprints),
        "execution": job.execution,
        "rerun_of": job.rerun_of,
        "actions": list(
            offered_actions(job.state, requested=job.requested, n_missing=progress.n_missing, rerun_of=job.rerun_of)
        ),
        "submitted_by": job.submitted_by,
        "created_at": time_text(job.created_at),
        "started_at": time_text(job.started_at),
        "finished_at": time_text(job.finished_at),
        "first_record_at": time_text(job.first_record_at),
        "error": job.error,
        "progress": progress_values(job, progress),
    }


def progress_values(job: Job, progress: Progress) -> dict[str, Any]:
    """Return the values of a job's progress; the rate counts only cells that the job's last attempt trained."""
    n_own = progress.n_linked - progress.reused - progress.n_before
    first, last = progress.first_record_at, progress.last_record_at
    rate = (
        (n_own - 1) / (last - first) if first is not None and last is not None and last > first and n_own > 1 else None
    )
    n_left = progress.total - progress.n_linked - (progress.in_flight.done if progress.in_flight else 0)
    return {
        "total": progress.total,
        "reused": progress.reused,
        "completed": progress.completed,
        "diverged": progress.diverged,
        "timed_out": progress.timed_out,
        "failed": progress.failed,
        "collapsed": progress.collapsed,
        "cells_per_s": rate,
        "eta_s": max(0, n_left) / rate if rate and job.state is JobState.RUNNING else None,
        "in_flight": progress.in_flight and progress.in_flight.to_dict(),
    }


def time_text(seconds: float | None) -> str | None:
    """Return a time as RFC 3339 writes it, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
