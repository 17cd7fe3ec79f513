"""Choosing what a run of a schedule is compared with."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, or_, select

from service.store.entities import Job
from service.store.part import job_from_row
from service.store.regression_entities import RunState
from service.store.regression_tables import alert, baseline, schedule, scheduled_run
from service.store.schedule_entities import BaselinePolicy, PolicyKind
from service.store.tables import job

REGRESSED = "regressed"  # the verdict, as benchmark.regression says it
MEASURE = "grid_mean"  # by which the best of several runs is chosen


def compared_job(connection: Connection, schedule_seq: int, policy: BaselinePolicy) -> Job | None:
    """Return the job that a run which starts now is compared with; None where there is none yet.

    Args:
        connection: the transaction that starts the run: until its end the job stays.
        schedule_seq: number of the schedule.
        policy: of the schedule.
    """
    seq = _chosen_seq(connection, schedule_seq, policy)
    if seq is None:
        return None
    kept = select(job).where(job.c.seq == seq).with_for_update(read=True, key_share=True)
    row = connection.execute(kept).mappings().one_or_none()
    return None if row is None else job_from_row(row)


def _chosen_seq(connection: Connection, schedule_seq: int, policy: BaselinePolicy) -> int | None:
    if policy.kind is PolicyKind.NAMED:
        named = select(baseline.c.job_seq).where(baseline.c.name == policy.name)
        return connection.execute(named).scalar_one_or_none()
    found = connection.execute(_successes(schedule_seq, policy)).all()
    # of equals the newest, which comes first
    return int(max(found, key=lambda row: mean_measure(row.measures)).job_seq) if found else None


def choosing_schedules(connection: Connection, job_seq: int | None = None) -> dict[int, str]:
    """Return the jobs that a schedule still needs, by their numbers, each with the name of one that does.

    These are those with which its next run may be compared, and both of a run that is not judged yet.

    Args:
        connection: to look by.
        job_seq: number of the one job that is asked about, for which few schedules need a look; None for all.
    """
    found: dict[int, str] = {}
    every = select(schedule.c.seq, schedule.c.name, schedule.c.policy).order_by(schedule.c.seq)
    of_open = [scheduled_run.c.state == str(RunState.TRAINING)]
    if job_seq is not None:  # a schedule chooses among the jobs of its own runs
        own = scheduled_run.c.schedule_seq == schedule.c.seq, scheduled_run.c.job_seq == job_seq
        every = every.where(exists().where(*own))
        of_open.append(or_(scheduled_run.c.job_seq == job_seq, scheduled_run.c.baseline_job_seq == job_seq))
    for row in connection.execute(every):
        policy = BaselinePolicy.from_dict(row.policy)
        if policy.kind is not PolicyKind.NAMED:  # those stay as long as their baseline does
            newest = _successes(row.seq, policy).with_only_columns(scheduled_run.c.job_seq)
            found |= dict.fromkeys(connection.execute(newest).scalars(), row.name)
    open_runs = select(schedule.c.name, scheduled_run.c.job_seq, scheduled_run.c.baseline_job_seq).join(schedule)
    for row in connection.execute(open_runs.where(*of_open)):
        found |= {seq: row.name for seq in (row.job_seq, row.baseline_job_seq) if seq is not None}
    return found


def _successes(schedule_seq: int, policy: BaselinePolicy) -> Select[Any]:
    """Return what reads the runs of a schedule among which its policy chooses, newest first."""
    newest = select(scheduled_run.c.job_seq, scheduled_run.c.measures)
    newest = newest.where(scheduled_run.c.schedule_seq == schedule_seq, is_success())
    return newest.order_by(scheduled_run.c.seq.desc()).limit(policy.n or 1)


def is_success() -> ColumnElement[bool]:
    """Whether a run may be compared with: judged, its job still there, and nothing regressed that nobody knows of."""
    during = and_(
        alert.c.schedule_seq == scheduled_run.c.schedule_seq,
        alert.c.first_run_seq <= scheduled_run.c.seq,
        alert.c.last_run_seq >= scheduled_run.c.seq,
    )
    is_known = and_(exists().where(during), ~exists().where(during, alert.c.acknowledged_at.is_(None)))
    return and_(
        scheduled_run.c.state == str(RunState.JUDGED),
        scheduled_run.c.job_seq.is_not(None),
        or_(scheduled_run.c.verdict.is_(None), scheduled_run.c.verdict != REGRESSED, is_known),
    )


def mean_measure(measures: Mapping[str, Any] | None) -> float:
    """Return the mean of the grid mean over all optimizers and tasks of a run; minus infinity where it has none.

    Args:
        measures: of the run, by task, optimizer and measure.
    """
    rows = [row for by_optimizer in (measures or {}).values() for row in by_optimizer.values()]
    values = [float(row[MEASURE]) for row in rows if row.get(MEASURE) is not None]
    return sum(values) / len(values) if values else float("-inf")
