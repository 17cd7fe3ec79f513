"""Webhooks and deliveries: plain frozen records that know no row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook to be made.

    Attributes:
        url: where messages are posted.
        secret: with which they are signed.
        events: what it is told.
        description: for people.
        enabled: whether it is told anything now.
    """

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...]
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(NewWebhook):
    """A webhook as it is now. `seq` is its place in the order of making, the cursor of a list."""

    seq: int
    id: str
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one webhook. Times are seconds since 1970 by the database's clock.

    Attributes:
        seq: its place in the order of events; the cursor of a list.
        id: of the message, the same in every attempt.
        event: what it tells.
        body: the JSON that is sent.
        n_attempts: how often it was sent, or about to be when its server died.
        attempts: of each that ended, its number, time, HTTP status or error, and duration.
        due_at: when it is sent next; None once it is delivered or given up.
    """

    seq: int
    id: str
    event: str
    body: str = field(repr=False)
    state: DeliveryState
    n_attempts: int
    attempts: tuple[Mapping[str, Any], ...]
    created_at: float
    due_at: float | None
    settled_at: float | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery under lease, and the webhook it goes to."""

    delivery: Delivery
    webhook: Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """How one attempt of a delivery went.

    Attributes:
        status: of the answer; None where there was none.
        error: class of what went wrong; None where nothing did.
        elapsed_s: how long it took.
    """

    status: int | None
    error: str | None
    elapsed_s: float
