"""Calls on webhooks: make, list, change, test, delete, and see what was delivered."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, StrictBool

from service.store import Delivery, DeliveryState, NewWebhook, Webhook
from service.summary import time_text
from service.web.access import ADMIN, Caller
from service.web.creation import made
from service.web.jobs import JOB_ID, IdempotencyKey
from service.web.paging import PageSize, PageToken, next_token
from service.web.shapes import Time
from service.web.state import AppState, State
from service.webhooks.signing import new_secret
from service.webhooks.targets import MAX_URL, RefusedTargetError

router = APIRouter(prefix="/webhooks", tags=["webhooks"], dependencies=[ADMIN])
WebhookId = Annotated[str, Path(pattern=JOB_ID, description="id of the webhook")]


class Event(StrEnum):
    """What a webhook can be told."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    ALERT_OPENED = "alert.opened"
    ALERT_CLOSED = "alert.closed"
    RUN_FAILED = "schedule.run_failed"


Url = Annotated[
    str,
    Field(
        max_length=MAX_URL,
        description="https on port 443 of a host that the operator permits, or an origin that he permits as it is",
        examples=["https://hooks.example.com/rhobust"],
    ),
]
Events = Annotated[list[Event], Field(min_length=1, max_length=len(Event))]
Description = Annotated[str, Field(max_length=200, description="for people")]


class WebhookCreation(BaseModel, extra="forbid"):
    """A webhook to be made."""

    url: Url
    events: Events = list(Event)
    description: Description = ""
    enabled: StrictBool = True


class WebhookChange(BaseModel, extra="forbid"):
    """What of a webhook is to change; what is left out or null stays."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: StrictBool | None = Field(
        default=None, description="false also gives up what has not been delivered; true begins anew, after a 410 too"
    )


class WebhookShape(BaseModel):
    """A webhook as it is now; its secret is not shown."""

    id: str
    url: str
    events: list[str]
    description: str
    enabled: bool = Field(description="false too when the receiver answered 410 Gone")
    created_at: Time
    created_by: str


class WebhookCreated(WebhookShape):
    """A new webhook with the secret that signs its messages, shown here alone."""

    secret: str = Field(
        description="shown again only to a repetition of this call under its Idempotency-Key", examples=["whsec_..."]
    )


class WebhookPage(BaseModel):
    """One page of the webhooks, oldest first."""

    items: list[WebhookShape]
    next_page_token: str | None


class AttemptShape(BaseModel):
    """How one attempt of a delivery went; nothing else of the answer is kept."""

    attempt: int
    at: Time
    status: int | None = Field(description="HTTP status of the answer; null where there was none")
    error: str | None = Field(
        description="null when it was delivered, else status (not 2xx), timeout, refused (an address that the operator "
        "does not permit), unresolved, unreachable, tls, broken (no HTTP, or the connection broke off), or fault (of "
        "this server, whose log has more)"
    )
    elapsed_s: float


class DeliveryShape(BaseModel):
    """One message to one webhook."""

    id: str = Field(description="of the message, the same in every attempt: its webhook-id")
    event: str
    state: DeliveryState
    created_at: Time
    next_attempt_at: Time = Field(description="null once it is delivered or given up")
    attempts: list[AttemptShape]


class DeliveryPage(BaseModel):
    """One page of the deliveries to a webhook, newest first; they are kept for 30 days."""

    items: list[DeliveryShape]
    next_page_token: str | None


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=WebhookCreated,
    responses={200: {"model": WebhookCreated, "description": "the webhook that this Idempotency-Key made before"}},
)
def create_webhook(
    request: Request, state: State, caller: Caller, creation: WebhookCreation, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a webhook: it is told of what happens from now on: ends of jobs, alerts, runs of schedules that fail."""
    _require_permitted(state, creation.url)
    new = NewWebhook(
        url=creation.url,
        secret=new_secret(),
        events=tuple(dict.fromkeys(creation.events)),
        description=creation.description,
        enabled=creation.enabled,
    )
    webhook, is_new = state.store.create_webhook(new, principal=caller.name, idempotency_key=idempotency_key)
    created = WebhookCreated(**_shape(webhook).model_dump(), secret=webhook.secret)
    return made(request, f"/webhooks/{webhook.id}", created, is_new=is_new)


@router.get("")
def list_webhooks(state: State, page_size: PageSize = 50, page_token: PageToken = None) -> WebhookPage:
    """List the webhooks, oldest first."""
    found = state.store.webhooks(page_size + 1, int(page_token or 0))
    items = [_shape(webhook) for webhook in found[:page_size]]
    return WebhookPage(items=items, next_page_token=next_token(found, page_size))


@router.get("/{webhook_id}")
def get_webhook(state: State, webhook_id: WebhookId) -> WebhookShape:
    """Return a webhook."""
    return _shape(state.store.webhook(webhook_id))


@router.patch("/{webhook_id}")
def change_webhook(state: State, webhook_id: WebhookId, change: WebhookChange) -> WebhookShape:
    """Change a webhook; its secret stays. For another secret, make another webhook and delete this one."""
    changes = change.model_dump(exclude_unset=True, exclude_none=True)
    if change.url is not None:
        _require_permitted(state, change.url)
    return _shape(state.store.change_webhook(webhook_id, changes))


@router.delete("/{webhook_id}", status_code=HTTPStatus.NO_CONTENT)
def delete_webhook(state: State, webhook_id: WebhookId) -> None:
    """Delete a webhook and the log of its deliveries; what has not been delivered is not sent any more."""
    state.store.delete_webhook(webhook_id)


@router.post("/{webhook_id}/test", status_code=HTTPStatus.ACCEPTED)
def send_test(state: State, webhook_id: WebhookId) -> DeliveryShape:
    """Send a message of the type webhook.test, also to a webhook that is not enabled."""
    _require_permitted(state, state.store.webhook(webhook_id).url)
    return _delivery_shape(state.store.test_webhook(webhook_id))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    state: State, webhook_id: WebhookId, page_size: PageSize = 50, page_token: PageToken = None
) -> DeliveryPage:
    """List what was sent to a webhook and what is to be sent, newest first."""
    found = state.store.deliveries(webhook_id, page_size + 1, int(page_token) if page_token else None)
    items = [_delivery_shape(delivery) for delivery in found[:page_size]]
    return DeliveryPage(items=items, next_page_token=next_token(found, page_size))


def _require_permitted(state: AppState, url: str) -> None:
    try:
        state.settings.webhook_allow.target(url)
    except RefusedTargetError as error:
        fault = {"type": "value_error", "loc": ("body", "url"), "msg": str(error), "input": None}
        raise RequestValidationError([fault]) from error


def _shape(webhook: Webhook) -> WebhookShape:
    return WebhookShape(
        id=webhook.id,
        url=webhook.url,
        events=list(webhook.events),
        description=webhook.description,
        enabled=webhook.enabled,
        created_at=time_text(webhook.created_at),
        created_by=webhook.created_by,
    )


def _delivery_shape(delivery: Delivery) -> DeliveryShape:
    return DeliveryShape(
        id=delivery.id,
        event=delivery.event,
        state=delivery.state,
        created_at=time_text(delivery.created_at),
        next_attempt_at=time_text(delivery.due_at),
        attempts=[AttemptShape(**{**entry, "at": time_text(entry["at"])}) for entry in delivery.attempts],
    )
