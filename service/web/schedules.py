"""Calls on schedules: make, list, change, pause, resume, delete, run now, and see what ran."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from benchmark import Problem, Spec, SpecError
from service.schedules.history import change_points
from service.schedules.running import scheduled_job, scheduled_spec
from service.store import NewSchedule, Schedule
from service.store.schedule_entities import SCHEDULE_NAME
from service.web.access import READ, SUBMIT, Caller
from service.web.creation import made
from service.web.jobs import CONFLICT, JOB_ID, IdempotencyKey
from service.web.paging import PageSize, PageToken, next_token
from service.web.schedule_shapes import (
    RunDetail,
    RunPage,
    RunShape,
    ScheduleChange,
    ScheduleCreation,
    ScheduleDetail,
    SchedulePage,
    ScheduleShape,
    change_point_shape,
    run_detail,
    run_values,
    schedule_values,
)
from service.web.state import AppState, State

router = APIRouter(prefix="/schedules", tags=["schedules"], dependencies=[READ])
ScheduleId = Annotated[str, Path(pattern=f"^{SCHEDULE_NAME}$", description="id or name of the schedule")]
RunId = Annotated[str, Path(pattern=JOB_ID, description="id of the run")]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=ScheduleDetail,
    responses={
        200: {"model": ScheduleDetail, "description": "the schedule that this Idempotency-Key made before"},
        **CONFLICT,
    },
    dependencies=[SUBMIT],
)
def create_schedule(
    request: Request, state: State, caller: Caller, creation: ScheduleCreation, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a schedule; its first run is due at the next time that its expression names."""
    spec = _spec(state, creation.spec)
    new = NewSchedule(
        name=creation.name,
        cron=creation.cron,
        timezone=creation.timezone,
        spec=spec.to_dict(),
        n_cells=spec.n_cells,
        policy=creation.baseline.chosen(),
        thresholds=creation.thresholds.chosen(),
        webhooks=None if creation.webhooks is None else tuple(dict.fromkeys(creation.webhooks)),
    )
    schedule, is_new = state.store.create_schedule(new, principal=caller.name, idempotency_key=idempotency_key)
    return made(request, f"/schedules/{schedule.id}", _detail(state, schedule), is_new=is_new)


@router.get("")
def list_schedules(state: State, page_size: PageSize = 50, page_token: PageToken = None) -> SchedulePage:
    """List the schedules, oldest first."""
    found = state.store.schedules(page_size + 1, int(page_token or 0))
    newest = state.store.newest_runs([schedule.id for schedule in found[:page_size]])
    items = [ScheduleShape(**schedule_values(schedule, newest.get(schedule.id))) for schedule in found[:page_size]]
    return SchedulePage(items=items, next_page_token=next_token(found, page_size))


@router.get("/{schedule_id}")
def get_schedule(state: State, schedule_id: ScheduleId) -> ScheduleDetail:
    """Return a schedule."""
    return _detail(state, state.store.schedule(schedule_id))


@router.patch("/{schedule_id}", dependencies=[SUBMIT])
def change_schedule(state: State, schedule_id: ScheduleId, change: ScheduleChange) -> ScheduleDetail:
    """Change a schedule; a run that is under way goes on as it began."""
    changes: dict[str, Any] = change.model_dump(include={"cron", "timezone"}, exclude_none=True)
    if change.spec is not None:
        spec = _spec(state, change.spec)
        changes |= {"spec": spec.to_dict(), "n_cells": spec.n_cells}
    if change.baseline is not None:
        changes["policy"] = change.baseline.chosen()
    if change.thresholds is not None:
        changes["thresholds"] = change.thresholds.chosen()
    if "webhooks" in change.model_fields_set:
        changes["webhooks"] = None if change.webhooks is None else tuple(dict.fromkeys(change.webhooks))
    return _detail(state, state.store.change_schedule(schedule_id, changes))


@router.delete("/{schedule_id}", status_code=HTTPStatus.NO_CONTENT, dependencies=[SUBMIT])
def delete_schedule(state: State, schedule_id: ScheduleId) -> None:
    """Delete a schedule, its history and its alerts; its jobs stay, and one under way goes on."""
    state.store.delete_schedule(schedule_id)


@router.post("/{schedule_id}/pause", dependencies=[SUBMIT])
def pause_schedule(state: State, schedule_id: ScheduleId) -> ScheduleDetail:
    """Start no run until it is resumed; one under way goes on."""
    return _detail(state, state.store.pause_schedule(schedule_id))


@router.post("/{schedule_id}/resume", dependencies=[SUBMIT])
def resume_schedule(state: State, schedule_id: ScheduleId) -> ScheduleDetail:
    """Start runs again, from the next time on; what was due meanwhile is not made up for."""
    return _detail(state, state.store.resume_schedule(schedule_id))


@router.post(
    "/{schedule_id}/run",
    status_code=HTTPStatus.ACCEPTED,
    response_model=RunDetail,
    responses={
        200: {"model": RunDetail, "description": "the run that this Idempotency-Key started before"},
        **CONFLICT,
    },
    dependencies=[SUBMIT],
)
def run_schedule(
    request: Request, state: State, caller: Caller, schedule_id: ScheduleId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Start a run now, of a paused schedule too; the times at which others are due stay."""
    schedule = state.store.schedule(schedule_id)
    run, is_new = state.store.start_run(
        schedule.id, scheduled_job(schedule), principal=caller.name, idempotency_key=idempotency_key
    )
    path = f"/schedules/{schedule.id}/history/{run.id}"
    return made(request, path, run_detail(run), is_new=is_new, status=HTTPStatus.ACCEPTED)


@router.get("/{schedule_id}/history")
def list_runs(state: State, schedule_id: ScheduleId, page_size: PageSize = 50, page_token: PageToken = None) -> RunPage:
    """List the runs of a schedule, newest first, and where the levels of its measures changed."""
    found = state.store.scheduled_runs(schedule_id, page_size + 1, int(page_token) if page_token else None)
    items = [RunShape(**run_values(run)) for run in found[:page_size]]
    changed = None if page_token else [change_point_shape(one) for one in change_points(state.store, schedule_id)]
    return RunPage(items=items, change_points=changed, next_page_token=next_token(found, page_size))


@router.get("/{schedule_id}/history/{run_id}")
def get_run(state: State, schedule_id: ScheduleId, run_id: RunId) -> RunDetail:
    """Return a run of a schedule with its comparison."""
    return run_detail(state.store.scheduled_run(schedule_id, run_id))


def _spec(state: AppState, document: dict[str, Any]) -> Spec:
    try:
        return scheduled_spec(document, max_cells=state.settings.max_cells)
    except SpecError as error:
        raise SpecError([Problem(f"/spec{one.pointer}", one.detail) for one in error.problems]) from error


def _detail(state: AppState, schedule: Schedule) -> ScheduleDetail:
    newest = state.store.newest_runs([schedule.id]).get(schedule.id)
    return ScheduleDetail(**schedule_values(schedule, newest), spec=dict(schedule.spec))
