"""Calibrating baselines: the jobs that replay them, how far each got, and the limits that come of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, or_, select, update

from benchmark.canonical import content_hash
from benchmark.regression import Limits, replays_needed, require_replays
from service.keys import new_id
from service.states import JobState
from service.store import checks
from service.store.baselines import BASELINES, baseline_from_row, read_baseline
from service.store.entities import Job, NewJob
from service.store.part import IN_CHUNK, Part, chunks, insert_into, read_job
from service.store.regression_entities import Baseline, Replay
from service.store.regression_tables import baseline, replay
from service.store.reserving import reserve
from service.store.submitting import checked_job, queue_job, require_room
from service.store.tables import job

MAX_REPLAYS = 999
LESS_URGENT = 10  # replays wait for everything that is as urgent as the baseline was
TAG = "replay"


@dataclass(frozen=True, slots=True)
class DueReplay:
    """A replay whose job has ended, and which has no statistic yet.

    Attributes:
        baseline: that it replays.
        number: of the replay.
        job_id: of its job.
        job_revision: of its job when this was read.
    """

    baseline: Baseline
    number: int
    job_id: str
    job_revision: int


class Calibrating(Part):
    """Replays of baselines, and limits."""

    def calibrate(
        self,
        name: str,
        alarm_rate: float,
        n_replays: int | None = None,
        *,
        principal: str = "local",
        idempotency_key: str | None = None,
        max_queued: int | None = None,
    ) -> Baseline:
        """Have a baseline's job replayed, so often that a rate of false alarms can be held.

        Replays that are there count: only those are queued that are not. One that has no job and no statistic is queued
        again, and one beyond `n_replays` that has no statistic is forgotten. Limits that are there hold until those of
        the new rate and number are set.

        Args:
            name: of the baseline.
            alarm_rate: of false alarms a run, over all measures together.
            n_replays: the least number that the rate needs when None.
            principal: who asks, for attribution and limits, and whose idempotency key it is.
            idempotency_key: under which a repeated call does nothing more.
            max_queued: how many queued jobs the principal may have with these; any number when None.

        Raises:
            NotFoundError: if there is no baseline of that name.
            ComparisonError: if the rate is none, or needs more replays.
            InvalidValueError: if there would be too many.
            IdempotencyConflictError: if the key was used with another body in the last 24 hours.
            QueueFullError: if so many jobs are more than one may have.
        """
        n = replays_needed(alarm_rate) if n_replays is None else n_replays
        checks.integer("n_replays", n, low=1, high=MAX_REPLAYS)
        require_replays(n, alarm_rate)
        with self._database.write() as connection:
            found = read_baseline(connection, name, lock=True)
            asked = {"baseline": found.id, "job": found.job_id, "alarm_rate": alarm_rate, "n_replays": n}
            body = content_hash({"kind": "calibration", **asked})
            if idempotency_key is not None and reserve(connection, principal, idempotency_key, body, found.id):
                return found
            mine = replay.c.baseline_seq == found.seq
            connection.execute(delete(replay).where(mine, replay.c.number > n, replay.c.statistic.is_(None)))
            there = or_(replay.c.statistic.is_not(None), replay.c.job_seq.is_not(None))
            known = set(connection.execute(select(replay.c.number).where(mine, there)).scalars())
            lacking = [number for number in range(1, n + 1) if number not in known]
            if lacking and max_queued is not None:
                require_room(self._database, connection, principal, max_queued, len(lacking))
            original = read_job(connection, found.job_id)
            for number in lacking:
                queued = queue_job(connection, checked_job(_replaying(original, number, principal)), new_id())
                row = {"baseline_seq": found.seq, "number": number, "job_seq": queued.seq}
                again = {"job_seq": queued.seq, "problem": None, "job_revision": None}
                statement = insert_into(connection, replay).values(row)
                connection.execute(
                    statement.on_conflict_do_update(index_elements=["baseline_seq", "number"], set_=again)
                )
            if lacking or alarm_rate != found.alarm_rate:
                _change(connection, found, {"alarm_rate": alarm_rate})
            return read_baseline(connection, name)

    def replays(self, baseline_ids: Collection[str]) -> dict[str, list[Replay]]:
        """Return the replays of baselines by number, by the id of the baseline; none of one that is not calibrated."""
        statement = _replays().where(baseline.c.id.in_(baseline_ids)).order_by(replay.c.number)
        found: dict[str, list[Replay]] = {baseline_id: [] for baseline_id in baseline_ids}
        with self._database.read() as connection:
            for row in connection.execute(statement).mappings():
                found[row["baseline_id"]].append(_from_row(row))
        return found

    def due_replays(self, limit: int = 20) -> list[DueReplay]:
        """Return replays whose job has completed, without those that were found to have a problem as they are."""
        fresh = or_(replay.c.job_revision.is_(None), replay.c.job_revision != job.c.revision)
        statement = (
            select(replay.c.baseline_seq, replay.c.number, job.c.id, job.c.revision)
            .join_from(replay, baseline)
            .join(job, job.c.seq == replay.c.job_seq)
            # from the replays on: by the index of states SQLite would walk through all jobs that ever completed
            .where(replay.c.statistic.is_(None), func.coalesce(job.c.state, "") == str(JobState.COMPLETED), fresh)
            .order_by(baseline.c.seq, replay.c.number)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            theirs = BASELINES.where(baseline.c.seq.in_({row.baseline_seq for row in rows}))
            found = map(baseline_from_row, connection.execute(theirs).mappings() if rows else ())
            by_seq = {one.seq: one for one in found}
        due = [row for row in rows if row.baseline_seq in by_seq]  # a baseline may be deleted between the two looks
        return [DueReplay(by_seq[row.baseline_seq], row.number, row.id, row.revision) for row in due]

    def settle_replay(self, due: DueReplay, *, statistic: float | None = None, problem: str | None = None) -> bool:
        """Keep what a replay told, or why it tells nothing.

        Returns:
            Whether it was kept: not where the baseline went to another job, or the replay's job was queued again.
        """
        told = {
            "statistic": statistic,
            "problem": None if problem is None else checks.message(problem),
            "job_revision": due.job_revision,
        }
        unchanged = select(job.c.seq).where(job.c.id == due.job_id, job.c.revision == due.job_revision)
        same = (baseline.c.id == due.baseline.id, baseline.c.job_seq == due.baseline.job_seq)
        with self._database.write() as connection:
            seq = connection.execute(select(baseline.c.seq).where(*same).with_for_update()).scalar_one_or_none()
            if seq is None:
                return False
            mine = (
                replay.c.baseline_seq == seq,
                replay.c.number == due.number,
                replay.c.job_seq == unchanged.scalar_subquery(),
            )
            changed = connection.execute(update(replay).where(*mine).values(**told).returning(replay.c.number))
            return changed.first() is not None

    def uncalibrated(self) -> list[tuple[Baseline, tuple[float, ...]]]:
        """Return baselines with the statistics of their replays, where all are known and are not yet in the limits."""
        with self._database.read() as connection:
            asked = connection.execute(BASELINES.where(baseline.c.alarm_rate.is_not(None))).mappings()
            every = [baseline_from_row(row) for row in asked]
            statistics = _statistics(connection, every)
        return [(one, known) for one in every if (known := statistics[one.seq]) is not None and not _holds(one, known)]

    def set_limits(self, calibrated: Baseline, limits: Limits) -> bool:
        """Keep the limits of a baseline.

        Returns:
            Whether they were kept: not where the baseline, its rate or its replays have changed meanwhile.
        """
        same = (
            baseline.c.id == calibrated.id,
            baseline.c.job_seq == calibrated.job_seq,
            baseline.c.alarm_rate == limits.alarm_rate,
        )
        with self._database.write() as connection:
            if connection.execute(select(baseline.c.seq).where(*same).with_for_update()).first() is None:
                return False
            found = read_baseline(connection, calibrated.name)
            if _statistics(connection, [found])[found.seq] != limits.statistics:
                return False
            _change(connection, found, {"limits": checks.document("limits", limits.to_dict())})
            return True


def _replays() -> Select[Any]:
    of_job = (job.c.id.label("job_id"), job.c.state, job.c.revision, job.c.error)
    joined = select(replay, baseline.c.id.label("baseline_id"), *of_job).join_from(replay, baseline)
    return joined.join(job, job.c.seq == replay.c.job_seq, isouter=True)


def _from_row(row: RowMapping) -> Replay:
    state = row["state"] and JobState(row["state"])
    problem = None
    if row["statistic"] is None:
        if state is None:
            problem = "its job was deleted; calibrate again"
        elif state in (JobState.FAILED, JobState.CANCELLED):
            problem = f"its job is {state}{': ' + row['error'] if row['error'] else ''}; retry it"
        elif row["job_revision"] == row["revision"]:
            problem = row["problem"]
    return Replay(number=row["number"], job_id=row["job_id"], state=state, statistic=row["statistic"], problem=problem)


def _replaying(original: Job, number: int, principal: str) -> NewJob:
    """Return the job that trains another one again under a harmless change, when there is nothing else to do."""
    ending = f" replay {number}"
    return NewJob(
        name=original.name[: checks.MAX_LABEL - len(ending)] + ending,
        spec={**original.spec, "reuse": False},
        n_cells=original.n_cells,
        tags=tuple(dict.fromkeys((*original.tags, TAG))),
        priority=original.priority - LESS_URGENT,
        submitted_by=principal,
        execution=original.execution,
        replay=number,
    )


def _statistics(connection: Connection, found: Sequence[Baseline]) -> dict[int, tuple[float, ...] | None]:
    """Return the statistics of the replays of baselines by their numbers, ascending; None where one is not known yet.

    None too where there is no replay.
    """
    every: dict[int, list[float | None]] = {one.seq: [] for one in found}
    statement = select(replay.c.baseline_seq, replay.c.statistic)
    for chunk in chunks(list(every), IN_CHUNK):
        for row in connection.execute(statement.where(replay.c.baseline_seq.in_(chunk))):
            every[row.baseline_seq].append(row.statistic)
    known = {seq: sorted(value for value in values if value is not None) for seq, values in every.items()}
    return {seq: tuple(known[seq]) if known[seq] and len(known[seq]) == len(every[seq]) else None for seq in every}


def _holds(found: Baseline, statistics: tuple[float, ...]) -> bool:
    """Whether the limits of a baseline are those of its rate and of these statistics."""
    limits = found.limits
    return limits is not None and (limits["alarm_rate"], tuple(limits["statistics"])) == (found.alarm_rate, statistics)


def _change(connection: Connection, found: Baseline, values: Mapping[str, Any]) -> None:
    statement = update(baseline).where(baseline.c.seq == found.seq)
    connection.execute(statement.values(**values, revision=found.revision + 1))
