"""Calls on baselines: name a completed job, list, look, take the name away."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from benchmark import ComparisonError
from benchmark.regression import DEFAULT_ALARM_RATE, LEAST_ALARM_RATE
from service.comparing import limits_of_baseline, set_baseline
from service.store import Baseline, Replay
from service.store.calibrating import MAX_REPLAYS
from service.store.regression_entities import BASELINE_NAME
from service.summary import time_text
from service.web.access import READ, SUBMIT, Caller
from service.web.jobs import JOB_ID, IdempotencyKey
from service.web.paging import PageSize, PageToken, next_token
from service.web.problems import errors
from service.web.shapes import Time
from service.web.state import AppState, State

RUNS_A_YEAR = 365
router = APIRouter(prefix="/baselines", tags=["baselines"], dependencies=[READ])
BaselineName = Annotated[str, Path(pattern=f"^{BASELINE_NAME}$", description="name of the baseline")]


class BaselineSetting(BaseModel, extra="forbid"):
    """Which job a baseline names."""

    job_id: str = Field(pattern=JOB_ID, description="of a completed job that lacks no cell and is not mixed")


class BaselineCalibration(BaseModel, extra="forbid"):
    """How a baseline is to be calibrated."""

    alarm_rate: float = Field(
        default=DEFAULT_ALARM_RATE,
        ge=LEAST_ALARM_RATE,
        lt=1,
        description="of false alarms a run, over all measures together",
    )
    n_replays: int | None = Field(
        default=None,
        ge=1,
        le=MAX_REPLAYS,
        description="jobs to train; null for the least number that the rate needs: 19 for 5 %, 99 for 1 %",
    )


class BaselineLimitsShape(BaseModel):
    """How far measures move when nothing but rounding changes, as replays of the baseline's job told."""

    factor: float = Field(description="yardsticks beyond which a worsening is an alarm")
    alarm_rate: float = Field(description="of false alarms a run, that was asked for")
    rank: int = Field(description="place of the replay that set the factor, 1 the largest")
    statistics: list[float] = Field(
        description="of the replays, ascending: the largest lower end of an interval of a worsening, in yardsticks"
    )
    kept_rate: float = Field(description="of false alarms a run, that the limits keep: rank / (replays + 1)")
    rate_at_worst: float = Field(description="that nineteen of twenty sets of so many replays stay below")
    alarms_a_year: float = Field(description="false ones to be expected at most, with one run a day")


class ReplayProblemShape(BaseModel):
    """A replay that will tell nothing unless somebody does something."""

    number: int
    job_id: str | None = Field(description="null where the job was deleted")
    problem: str


class CalibrationShape(BaseModel):
    """How far the replays of a baseline's job are."""

    alarm_rate: float = Field(description="of false alarms a run, that was asked for")
    n_replays: int
    n_done: int = Field(description="of them, how many have told how far they got from the baseline")
    problems: list[ReplayProblemShape] = Field(description="replays that wait for somebody; limits wait for them")


class BaselineShape(BaseModel):
    """A completed job under a name, as others are compared with it."""

    name: str
    job_id: str
    job_name: str
    y_ref: dict[str, float] = Field(
        description="by task, the reference against which scores are measured, in raw units"
    )
    limits: BaselineLimitsShape | None = Field(description="null while it is not calibrated")
    calibration: CalibrationShape | None = Field(description="null where nobody has asked for one")
    revision: int = Field(description="grows with every change")
    set_at: Time
    set_by: str


class BaselinePage(BaseModel):
    """One page of the baselines, oldest first."""

    items: list[BaselineShape]
    next_page_token: str | None


@router.get("")
def list_baselines(state: State, page_size: PageSize = 50, page_token: PageToken = None) -> BaselinePage:
    """List the baselines, oldest first."""
    found = state.store.baselines(page_size + 1, int(page_token or 0))
    replays = state.store.replays([baseline.id for baseline in found[:page_size]])
    items = [_shape(baseline, replays[baseline.id]) for baseline in found[:page_size]]
    return BaselinePage(items=items, next_page_token=next_token(found, page_size))


@router.get("/{baseline_name}")
def get_baseline(state: State, baseline_name: BaselineName) -> BaselineShape:
    """Return a baseline."""
    return _as_it_is(state, state.store.baseline(baseline_name))


@router.put(
    "/{baseline_name}",
    dependencies=[SUBMIT],
    response_model=BaselineShape,
    response_description="the baseline, which was there before",
    responses={
        HTTPStatus.CREATED: {"model": BaselineShape, "description": "the new baseline"},
        **errors(HTTPStatus.CONFLICT),
    },
)
def put_baseline(state: State, caller: Caller, baseline_name: BaselineName, setting: BaselineSetting) -> Response:
    """Give a job a name, or the name another job; the limits of the job that it named before go.

    The job is then neither extended, deleted nor pruned. To set a name to its job again changes nothing.
    """
    baseline, is_new = set_baseline(state.store, baseline_name, setting.job_id, principal=caller.name)
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return JSONResponse(_as_it_is(state, baseline).model_dump(mode="json"), status)


@router.delete("/{baseline_name}", dependencies=[SUBMIT], status_code=HTTPStatus.NO_CONTENT)
def delete_baseline(state: State, baseline_name: BaselineName) -> None:
    """Take the name away; its job stays, and may be deleted again."""
    state.store.delete_baseline(baseline_name)


@router.post("/{baseline_name}/calibrate", dependencies=[SUBMIT], status_code=HTTPStatus.ACCEPTED)
def calibrate_baseline(
    state: State,
    caller: Caller,
    baseline_name: BaselineName,
    calibration: BaselineCalibration | None = None,
    idempotency_key: IdempotencyKey = None,
) -> BaselineShape:
    """Train the baseline's job again, as often as the rate needs, each time after another harmless numerical change.

    How far those replays get from the baseline sets its limits, once all have ended. Replays that are there count: a
    repeated call makes none anew, and one with more replays makes the rest. Limits that are there hold meanwhile.
    """
    asked = calibration or BaselineCalibration()
    try:
        baseline = state.store.calibrate(
            baseline_name,
            asked.alarm_rate,
            asked.n_replays,
            principal=caller.name,
            idempotency_key=idempotency_key,
            max_queued=None if caller.is_local else state.settings.max_queued,
        )
    except ComparisonError as error:
        fault = {"type": "value_error", "loc": ("body", "n_replays"), "msg": str(error), "input": asked.n_replays}
        raise RequestValidationError([fault]) from error
    return _as_it_is(state, baseline)


def _as_it_is(state: AppState, baseline: Baseline) -> BaselineShape:
    return _shape(baseline, state.store.replays([baseline.id])[baseline.id])


def _calibration(baseline: Baseline, replays: Sequence[Replay]) -> CalibrationShape | None:
    if baseline.alarm_rate is None:
        return None
    return CalibrationShape(
        alarm_rate=baseline.alarm_rate,
        n_replays=len(replays),
        n_done=sum(one.statistic is not None for one in replays),
        problems=[
            ReplayProblemShape(number=one.number, job_id=one.job_id, problem=one.problem)
            for one in replays
            if one.problem is not None
        ],
    )


def _limits(baseline: Baseline) -> BaselineLimitsShape | None:
    limits = limits_of_baseline(baseline)
    if limits is None:
        return None
    return BaselineLimitsShape(
        **limits.to_dict(),
        kept_rate=limits.kept_rate,
        rate_at_worst=limits.rate_at_worst,
        alarms_a_year=limits.alarms_expected(RUNS_A_YEAR),
    )


def _shape(baseline: Baseline, replays: Sequence[Replay]) -> BaselineShape:
    return BaselineShape(
        name=baseline.name,
        job_id=baseline.job_id,
        job_name=baseline.job_name,
        y_ref=dict(baseline.y_ref),
        limits=_limits(baseline),
        calibration=_calibration(baseline, replays),
        revision=baseline.revision,
        set_at=time_text(baseline.set_at),
        set_by=baseline.set_by,
    )
