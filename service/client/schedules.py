"""The schedules of a server."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.client.answers import Answer
from service.client.connection import path_of, repeatable
from service.client.errors import ClientError
from service.client.job import document_of
from service.client.listing import Listing
from service.client.server import Server

if TYPE_CHECKING:
    from benchmark import Spec


class RunBaseline(Answer):
    """What a run is compared with.

    Attributes:
        job_id: the job; None where there was none, or it was deleted since.
        name: of the baseline, where it is a named one.
    """

    job_id: str | None
    name: str | None


class ScheduledRun(Answer):
    """A run of a schedule, as it was when it was read.

    Attributes:
        id: its id.
        due_at: the first time that it was due; of a manual one when it was asked for.
        started_at: when it started.
        n_missed: later times that were due too when it started, and are one run with it.
        manual: whether somebody asked for it.
        state: training, judged or failed.
        job_id: the job that trains it; None where that was deleted, or could not be submitted.
        baseline: what it is compared with.
        verdict: regressed, improved, same, undecided or not_tested; None until it is judged, and where there was
            nothing to compare with.
        reason: why it failed, or has no verdict.
        measures: values by task, optimizer and measure.
        made_by: what its records were made by.
        judged_at: when it was judged, or failed.
        comparison: with its baseline; None of a run in a list.
    """

    id: str
    due_at: datetime
    started_at: datetime
    n_missed: int
    manual: bool
    state: str
    job_id: str | None
    baseline: RunBaseline
    verdict: str | None
    reason: str | None
    measures: dict[str, dict[str, dict[str, float | None]]] | None
    made_by: dict[str, Any] | None
    judged_at: datetime | None
    comparison: dict[str, Any] | None = None


class Schedule(Answer):
    """A schedule, as it was when it was read.

    Attributes:
        id: its id.
        name: its name, by which it is known as well.
        cron: when a run is due.
        timezone: in which.
        baseline: what a run is compared with.
        thresholds: when a change is an alarm.
        webhooks: ids of those that hear of it; None for all that hear of alerts.
        cells: of a run.
        paused: whether no run is due until it is resumed.
        next_due_at: when the next run is due; None while it is paused.
        last_run: the newest one.
        revision: grows with every change.
        created_at: when it was made.
        created_by: by whom.
        spec: what is run; None of a schedule in a list.
    """

    id: str
    name: str
    cron: str
    timezone: str
    baseline: dict[str, Any]
    thresholds: dict[str, Any]
    webhooks: tuple[str, ...] | None
    cells: int
    paused: bool
    next_due_at: datetime | None
    last_run: ScheduledRun | None
    revision: int
    created_at: datetime
    created_by: str
    spec: dict[str, Any] | None = None


class LevelChange(Answer):
    """A measure that went to another level and stayed there for a while.

    Attributes:
        task: label of the task.
        optimizer: label of the optimizer.
        measure: its name.
        before: mean of the old level, in the unit of the measure.
        after: mean of the new one.
        worse: whether the new one is the worse.
    """

    task: str
    optimizer: str
    measure: str
    before: float
    after: float
    worse: bool


class ChangePoint(Answer):
    """A run from which on measures had another level.

    Attributes:
        run_id: the first run of the new level.
        due_at: when it was due.
        job_id: its job; None where that was deleted.
        previous_run_id: the last measured run of the old level.
        changes: of which measures.
        made_by: what the records of the run were made by: versions and revisions by name.
        differs: what of that was otherwise in the previous run, as it was there.
    """

    run_id: str
    due_at: datetime
    job_id: str | None
    previous_run_id: str
    changes: tuple[LevelChange, ...]
    made_by: dict[str, Any] | None
    differs: dict[str, Any]


class Schedules:
    """The schedules of a server. Where one is asked for, its id or its name will do."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(
        self,
        name: str,
        cron: str,
        spec: "Spec | Mapping[str, Any] | str | Path",
        *,
        timezone: str = "UTC",
        baseline: str | None = None,
        best_of: int | None = None,
        factor: float | None = None,
        measures: Sequence[str] | None = None,
        webhooks: Sequence[str] | None = None,
    ) -> Schedule:
        """Make a schedule. Its runs are compared with the newest one that succeeded unless something else is named.

        Args:
            name: unique.
            cron: when a run is due: minute, hour, day of month, month, day of week; or a word such as @daily.
            spec: what is run: a spec, a mapping, or the path of a YAML or JSON file. Where it says nothing else it
                trains anew, with 10 seeds and priority 10.
            timezone: in which, by its IANA name.
            baseline: name of the baseline that runs are compared with.
            best_of: number of runs that succeeded of which the best is what runs are compared with.
            factor: yardsticks beyond which a worsening is an alarm; as the baseline's calibration has set it when None.
            measures: names of those that raise an alarm; all by default.
            webhooks: ids of those that hear of it; all that hear of alerts by default.

        Raises:
            ProblemError: when something breaks a rule.
            ConflictError: when there is a schedule of that name.
        """
        body: dict[str, Any] = {"name": name, "cron": cron, "timezone": timezone, "spec": document_of(spec)}
        body |= {"baseline": _policy(baseline, best_of) or {"policy": "previous"}}
        body |= {"thresholds": _thresholds(factor, measures), "webhooks": None if webhooks is None else [*webhooks]}
        headers = repeatable()
        return Schedule.of(self._server.json("POST", "/schedules", json=body, headers=headers))

    def list(self) -> Listing[Schedule]:
        """Return the schedules, oldest first."""
        columns = ("name", "cron", "timezone", "compared with", "next", "last", "verdict", "id")
        return Listing(lambda: map(Schedule.of, self._server.pages("/schedules", {})), columns, _row)

    def get(self, schedule: str) -> Schedule:
        """Return a schedule; raises NotFoundError when there is none of that id or name."""
        return Schedule.of(self._server.json("GET", path_of("schedule", schedule)))

    def change(
        self,
        schedule: str,
        *,
        cron: str | None = None,
        timezone: str | None = None,
        spec: "Spec | Mapping[str, Any] | str | Path | None" = None,
        baseline: str | None = None,
        best_of: int | None = None,
        previous: bool = False,
        factor: float | None = None,
        measures: Sequence[str] | None = None,
        webhooks: Sequence[str] | None = None,
    ) -> Schedule:
        """Change what is given, as `add` takes it; a run that is under way goes on as it began.

        Args:
            schedule: id or name.
            cron: when a run is due.
            timezone: in which.
            spec: what is run.
            baseline: name of the baseline that runs are compared with.
            best_of: number of runs of which the best is.
            previous: whether runs are compared with the newest one that succeeded.
            factor: for alarms; it and `measures` are set together.
            measures: that raise them.
            webhooks: ids of those that hear of it.
        """
        changes: dict[str, Any] = {"cron": cron, "timezone": timezone, "baseline": _policy(baseline, best_of, previous)}
        changes["spec"] = None if spec is None else document_of(spec)
        changes["thresholds"] = _thresholds(factor, measures) or None
        changes["webhooks"] = None if webhooks is None else [*webhooks]
        given = {name: value for name, value in changes.items() if value is not None}
        return Schedule.of(self._server.json("PATCH", path_of("schedule", schedule), json=given))

    def pause(self, schedule: str) -> Schedule:
        """Start no run until it is resumed; one under way goes on."""
        return Schedule.of(self._server.json("POST", f"{path_of('schedule', schedule)}/pause"))

    def resume(self, schedule: str) -> Schedule:
        """Start runs again, from the next time on; what was due meanwhile is not made up for."""
        return Schedule.of(self._server.json("POST", f"{path_of('schedule', schedule)}/resume"))

    def run(self, schedule: str) -> ScheduledRun:
        """Start a run now; raises ConflictError while another one is under way."""
        headers = repeatable()
        path = f"{path_of('schedule', schedule)}/run"
        return ScheduledRun.of(self._server.json("POST", path, headers=headers))

    def history(self, schedule: str) -> Listing[ScheduledRun]:
        """Return the runs of a schedule, newest first."""
        path = f"{path_of('schedule', schedule)}/history"
        columns = ("id", "due", "state", "verdict", "job", "compared with", "missed", "reason")
        return Listing(lambda: map(ScheduledRun.of, self._server.pages(path, {})), columns, _run_row)

    def change_points(self, schedule: str) -> tuple[ChangePoint, ...]:
        """Return where measures changed their level, oldest first.

        That is over those of the last 200 runs that were measured since the spec last changed.
        """
        page = self._server.json("GET", f"{path_of('schedule', schedule)}/history", params={"page_size": 1})
        return tuple(ChangePoint.of(one) for one in page["change_points"])

    def history_with_change_points(
        self, schedule: str, n: int
    ) -> tuple[tuple[ScheduledRun, ...], tuple[ChangePoint, ...]]:
        """Return the first of `history`, `n` at most, and `change_points`, which come with them."""
        path = f"{path_of('schedule', schedule)}/history"
        page = self._server.json("GET", path)
        token = page["next_page_token"]
        rest = self._server.pages(path, {"page_token": token}) if token else ()
        runs = map(ScheduledRun.of, islice(chain(page["items"], rest), n))
        return tuple(runs), tuple(map(ChangePoint.of, page["change_points"]))

    def history_of(self, schedule: str, run: str) -> ScheduledRun:
        """Return a run of a schedule with its comparison; raises NotFoundError when there is none of that id."""
        path = f"{path_of('schedule', schedule)}/history/{path_of('run', run).rpartition('/')[2]}"
        return ScheduledRun.of(self._server.json("GET", path))

    def remove(self, schedule: str) -> None:
        """Delete a schedule, its history and its alerts; its jobs stay."""
        self._server.request("DELETE", path_of("schedule", schedule))


def _policy(baseline: str | None, best_of: int | None, previous: bool = False) -> dict[str, Any] | None:
    given = [baseline is not None, best_of is not None, previous]
    if sum(given) > 1:
        raise ClientError(
            "runs are compared with one thing: a baseline, the best of the last ones, or the previous one."
        )
    if baseline is not None:
        return {"policy": "named", "name": baseline}
    if best_of is not None:
        return {"policy": "best_of", "n": best_of}
    return {"policy": "previous"} if previous else None


def _thresholds(factor: float | None, measures: Sequence[str] | None) -> dict[str, Any]:
    given = {"factor": factor, "measures": None if measures is None else [*measures]}
    return {name: value for name, value in given.items() if value is not None}


def _compared_with(schedule: Schedule) -> str:
    """Return in words what the runs of a schedule are compared with."""
    policy = schedule.baseline
    if policy["policy"] == "named":
        return f"baseline {policy['name']}"
    return f"best of {policy['n']}" if policy["policy"] == "best_of" else str(policy["policy"])


def _row(schedule: Schedule) -> tuple[object, ...]:
    last = schedule.last_run
    due = "paused" if schedule.paused else schedule.next_due_at
    shown = (schedule.name, schedule.cron, schedule.timezone, _compared_with(schedule), due)
    return *shown, last and last.started_at, last and (last.verdict or last.state), schedule.id


def _run_row(run: ScheduledRun) -> tuple[object, ...]:
    compared = run.baseline.name or run.baseline.job_id
    return run.id, run.due_at, run.state, run.verdict, run.job_id, compared, run.n_missed, run.reason
