"""Calls on alerts: list, look at one, acknowledge."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from benchmark.regression import Change
from service.store import Alert, AlertState
from service.store.alerts import MAX_NOTE, alert_values
from service.web.access import READ, SUBMIT, Caller
from service.web.jobs import CONFLICT, JOB_ID
from service.web.paging import PageSize, PageToken, next_token
from service.web.shapes import Time
from service.web.state import State

router = APIRouter(prefix="/alerts", tags=["alerts"], dependencies=[READ])
AlertId = Annotated[str, Path(pattern=JOB_ID, description="id of the alert")]


class AlertShape(BaseModel):
    """A regression of an optimizer on a task, for as long as it lasts."""

    id: str
    schedule_id: str
    schedule_name: str
    task: str
    optimizer: str
    state: AlertState = Field(
        description="open: nobody has said that they know; acknowledged: somebody has; closed: it is over"
    )
    measures: list[Change] = Field(
        description="each that was worse in one of its runs, as the last run that was compared found it"
    )
    first_run_id: str = Field(description="the run that opened it")
    last_run_id: str = Field(description="the last that was compared; of a closed one the one that closed it")
    first_job_id: str | None = Field(description="the job of that first run; null where it was deleted")
    job_id: str | None = Field(description="the job of the last run; null where it was deleted")
    baseline_job_id: str | None = Field(description="what the last run was compared with; null where it was deleted")
    baseline_name: str | None = Field(description="of that, where it is a named baseline")
    opened_at: Time
    acknowledged_at: Time
    acknowledged_by: str | None
    note: str | None
    closed_at: Time


class AlertCounts(BaseModel):
    """How many alerts are in each state."""

    open: int
    acknowledged: int
    closed: int


class AlertPage(BaseModel):
    """One page of the alerts, newest first."""

    items: list[AlertShape]
    counts: AlertCounts = Field(description="of all pages and states, of the schedule if one is asked for")
    next_page_token: str | None


class Acknowledgement(BaseModel, extra="forbid"):
    """That somebody knows of an alert."""

    note: Annotated[str, Field(max_length=MAX_NOTE, description="for people: what it is, or what is done about it")] = (
        ""
    )


@router.get("")
def list_alerts(
    state: State,
    alert_state: Annotated[list[AlertState] | None, Query(alias="state", description="any of these")] = None,
    schedule: Annotated[str | None, Query(max_length=200, description="id or name of a schedule")] = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> AlertPage:
    """List alerts, newest first."""
    before = int(page_token) if page_token else None
    states = tuple(dict.fromkeys(alert_state or ()))
    found = state.store.alerts(page_size + 1, before, states=states, schedule_id=schedule)
    return AlertPage(
        items=[_shape(one) for one in found[:page_size]],
        counts=AlertCounts(**state.store.count_alerts(schedule)),
        next_page_token=next_token(found, page_size),
    )


@router.get("/{alert_id}")
def get_alert(state: State, alert_id: AlertId) -> AlertShape:
    """Return an alert."""
    return _shape(state.store.alert(alert_id))


@router.post("/{alert_id}/acknowledge", status_code=HTTPStatus.OK, responses=CONFLICT, dependencies=[SUBMIT])
def acknowledge_alert(state: State, caller: Caller, alert_id: AlertId, acknowledgement: Acknowledgement) -> AlertShape:
    """Say that somebody knows of an alert that lasts: its runs then count as successes; a new note replaces the old."""
    return _shape(state.store.acknowledge_alert(alert_id, acknowledgement.note, principal=caller.name))


def _shape(alert: Alert) -> AlertShape:
    return AlertShape(**alert_values(alert))
