"""The JSON shapes of schedules and their runs, and what is asked of one that is to be made."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, StrictInt, model_validator

from benchmark.regression.measuring import TESTED
from service.schedules.cron import MAX_LENGTH, Cron, ScheduleError
from service.schedules.history import N_RUNS, ChangePoint
from service.store import BaselinePolicy, PolicyKind, RunState, Schedule, ScheduledRun, Thresholds
from service.store.schedule_entities import MAX_BEST_OF, SCHEDULE_NAME
from service.summary import time_text
from service.web.jobs import JOB_ID
from service.web.shapes import Time

MAX_WEBHOOKS = 20
MAX_FACTOR = 1_000.0


def _cron(text: str) -> str:
    return _read(text, "UTC", text)


def _zone(text: str) -> str:
    return _read("@daily", text, text)


def _read(cron: str, zone: str, value: str) -> str:
    try:
        Cron(cron, zone)
    except ScheduleError as error:
        raise ValueError(str(error)) from error
    return value


def _measure(name: str) -> str:
    if name not in TESTED:
        raise ValueError(f"must be a measure that can be judged ({', '.join(TESTED)}), but got {name!r}")
    return name


MeasureName = Annotated[str, AfterValidator(_measure), Field(max_length=100)]


class BaselineChoice(BaseModel, extra="forbid"):
    """What a run is compared with, found when it starts: its job keeps the execution of that one."""

    policy: PolicyKind = Field(
        description="named: a named baseline; previous: the newest run that succeeded, which is one that was judged "
        "and has no regression that nobody acknowledged; best_of: of the newest n that succeeded the one with the "
        "highest grid mean over all optimizers and tasks"
    )
    name: str | None = Field(default=None, max_length=200, description="of the baseline, for named")
    n: StrictInt | None = Field(default=None, ge=1, le=MAX_BEST_OF, description="for best_of")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        self.chosen()
        return self

    def chosen(self) -> BaselinePolicy:
        """Return the policy."""
        return BaselinePolicy(kind=self.policy, name=self.name, n=self.n)


class ThresholdsChoice(BaseModel, extra="forbid"):
    """When a change is an alarm."""

    factor: Annotated[float, Field(gt=0, le=MAX_FACTOR, allow_inf_nan=False)] | None = Field(
        default=None,
        description="yardsticks of a measure that a worsening must exceed: the tolerance of the task for a score, one "
        "configuration for a share, half a step of the axis for decades; null for what the calibration of a named "
        "baseline has set, and 1 without",
    )
    measures: Annotated[list[MeasureName], Field(min_length=1, max_length=len(TESTED))] | None = Field(
        default=None, description="that raise an alarm; null for all that can be judged"
    )

    def chosen(self) -> Thresholds:
        """Return the thresholds."""
        measures = None if self.measures is None else tuple(dict.fromkeys(self.measures))
        return Thresholds(factor=self.factor, measures=measures)


Name = Annotated[str, Field(pattern=f"^{SCHEDULE_NAME}$", description="unique, and part of addresses")]
CronText = Annotated[
    str,
    AfterValidator(_cron),
    Field(
        max_length=MAX_LENGTH,
        description="five fields (minute hour day-of-month month day-of-week; 0 and 7 are Sunday) or @hourly, @daily, "
        "@weekly, @monthly, @yearly",
        examples=["0 3 * * *"],
    ),
]
Zone = Annotated[str, AfterValidator(_zone), Field(max_length=100, description="IANA name", examples=["Europe/Berlin"])]
SpecDocument = Annotated[
    dict[str, Any],
    Field(
        description="a spec; where it says nothing else it trains anew (reuse: false), with 10 seeds and priority "
        "10; its jobs have the tag schedule:NAME",
    ),
]
WebhookIds = Annotated[
    list[Annotated[str, Field(pattern=JOB_ID)]],
    Field(max_length=MAX_WEBHOOKS, description="webhooks that hear of this schedule; null for all that hear of alerts"),
]


class ScheduleCreation(BaseModel, extra="forbid"):
    """A schedule to be made."""

    name: Name
    cron: CronText
    timezone: Zone = "UTC"
    spec: SpecDocument
    baseline: BaselineChoice = BaselineChoice(policy=PolicyKind.PREVIOUS)
    thresholds: ThresholdsChoice = ThresholdsChoice()
    webhooks: WebhookIds | None = None


class ScheduleChange(BaseModel, extra="forbid"):
    """What of a schedule is to change; what is left out stays, and null too but for webhooks."""

    cron: CronText | None = None
    timezone: Zone | None = None
    spec: SpecDocument | None = None
    baseline: BaselineChoice | None = None
    thresholds: ThresholdsChoice | None = None
    webhooks: WebhookIds | None = None


class RunBaseline(BaseModel):
    """What a run is compared with."""

    job_id: str | None = Field(description="null where that job was deleted since, or there was none")
    name: str | None = Field(description="of the baseline, where it is a named one")


class RunShape(BaseModel):
    """A run of a schedule as it is now."""

    id: str
    due_at: Time = Field(description="the first time that it was due; of a manual run when it was asked for")
    started_at: Time
    n_missed: int = Field(description="later times that were due too when it started, and are one run with it")
    manual: bool
    state: RunState
    job_id: str | None = Field(description="null where its job was deleted, or could not be submitted")
    baseline: RunBaseline
    verdict: str | None = Field(description="null until it is judged, and where there was nothing to compare with")
    reason: str | None = Field(description="why it failed, or has no verdict")
    measures: dict[str, dict[str, dict[str, float | None]]] | None = Field(
        description="values by task, optimizer and measure"
    )
    made_by: dict[str, Any] | None = Field(description="what its records were made by")
    judged_at: Time


class RunDetail(RunShape):
    """A run with its comparison."""

    comparison: dict[str, Any] | None = Field(description="as /comparisons gives it")


class LevelChangeShape(BaseModel):
    """A measure that went to another level and stayed there for a while."""

    task: str
    optimizer: str
    measure: str
    before: float = Field(description="mean of the old level, in the unit of the measure; a score is normalised")
    after: float = Field(description="mean of the new one")
    worse: bool


class ChangePointShape(BaseModel):
    """A run from which on measures had another level."""

    run_id: str = Field(description="the first run of the new level")
    due_at: Time
    job_id: str | None = Field(description="of that run; null where its job was deleted")
    previous_run_id: str = Field(description="the last measured run of the old level")
    changes: list[LevelChangeShape]
    made_by: dict[str, Any] | None = Field(description="what the records of the run were made by")
    differs: dict[str, Any] = Field(description="what of that was otherwise in the previous run, as it was there")


class RunPage(BaseModel):
    """One page of the runs of a schedule, newest first."""

    items: list[RunShape]
    change_points: list[ChangePointShape] | None = Field(
        description=f"over those of the last {N_RUNS} runs that were measured since the spec last changed; oldest "
        "first; null on further pages"
    )
    next_page_token: str | None


class ScheduleShape(BaseModel):
    """A schedule as it is now."""

    id: str
    name: str
    cron: str
    timezone: str
    baseline: BaselineChoice
    thresholds: ThresholdsChoice
    webhooks: list[str] | None = Field(description="ids of those that hear of it; null for all that hear of alerts")
    cells: int = Field(description="of a run")
    paused: bool
    next_due_at: Time = Field(description="null while it is paused")
    last_run: RunShape | None
    revision: int = Field(description="grows with every change")
    created_at: Time
    created_by: str


class ScheduleDetail(ScheduleShape):
    """A schedule with what it runs."""

    spec: SpecDocument


class SchedulePage(BaseModel):
    """One page of the schedules, oldest first."""

    items: list[ScheduleShape]
    next_page_token: str | None


def schedule_values(schedule: Schedule, newest: ScheduledRun | None) -> dict[str, Any]:
    """Return the values of a schedule with its newest run."""
    policy, thresholds = schedule.policy, schedule.thresholds
    return {
        "id": schedule.id,
        "name": schedule.name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "baseline": BaselineChoice(policy=policy.kind, name=policy.name, n=policy.n),
        "thresholds": ThresholdsChoice(
            factor=thresholds.factor, measures=None if thresholds.measures is None else list(thresholds.measures)
        ),
        "webhooks": None if schedule.webhooks is None else list(schedule.webhooks),
        "cells": schedule.n_cells,
        "paused": schedule.is_paused,
        "next_due_at": time_text(schedule.next_due_at),
        "last_run": None if newest is None else RunShape(**run_values(newest)),
        "revision": schedule.revision,
        "created_at": time_text(schedule.created_at),
        "created_by": schedule.created_by,
    }


def run_detail(run: ScheduledRun) -> RunDetail:
    """Return a run with its comparison."""
    return RunDetail(**run_values(run), comparison=None if run.comparison is None else dict(run.comparison))


def change_point_shape(point: ChangePoint) -> ChangePointShape:
    """Return a change point."""
    return ChangePointShape(
        run_id=point.run.id,
        due_at=time_text(point.run.due_at),
        job_id=point.run.job_id,
        previous_run_id=point.before.id,
        changes=[
            LevelChangeShape(
                task=change.task,
                optimizer=change.optimizer,
                measure=change.name,
                before=change.before,
                after=change.after,
                worse=change.is_worse,
            )
            for change in point.changes
        ],
        made_by=None if point.run.made_by is None else dict(point.run.made_by),
        differs={name: before for name, (before, _) in point.differs.items()},
    )


def run_values(run: ScheduledRun) -> dict[str, Any]:
    """Return the values of a run."""
    return {
        "id": run.id,
        "due_at": time_text(run.due_at),
        "started_at": time_text(run.created_at),
        "n_missed": run.n_missed,
        "manual": run.is_manual,
        "state": run.state,
        "job_id": run.job_id,
        "baseline": RunBaseline(job_id=run.baseline_job_id, name=run.baseline_name),
        "verdict": run.verdict,
        "reason": run.reason,
        "measures": run.measures,
        "made_by": run.made_by,
        "judged_at": time_text(run.judged_at),
    }
