"""The webhooks of a server."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from service.client.answers import Answer
from service.client.connection import path_of, repeatable
from service.client.listing import Listing
from service.client.server import Server


class Webhook(Answer):
    """Where a server tells the ends of jobs, and alerts.

    Attributes:
        id: its id.
        url: where messages are posted.
        events: what it is told.
        description: for people.
        enabled: whether it is told anything now.
        created_at: when it was made.
        created_by: by whom.
        secret: with which its messages are signed; only of the one that `add` returns.
    """

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    created_at: datetime
    created_by: str
    secret: str | None = Field(default=None, repr=False)


class DeliveryAttempt(Answer):
    """How one attempt of a delivery went.

    Attributes:
        attempt: its number.
        at: when it began.
        status: HTTP status of the answer; None where there was none.
        error: class of what went wrong; None when it was delivered.
        elapsed_s: how long it took.
    """

    attempt: int
    at: datetime
    status: int | None
    error: str | None
    elapsed_s: float


class Delivery(Answer):
    """One message to one webhook.

    Attributes:
        id: of the message, the same in every attempt.
        event: what it tells.
        state: pending, delivered or failed.
        created_at: when what it tells happened.
        next_attempt_at: when it is sent next; None once it is delivered or given up.
        attempts: those that ended.
    """

    id: str
    event: str
    state: str
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: tuple[DeliveryAttempt, ...]


class Webhooks:
    """The webhooks of a server; every call needs the scope admin."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, url: str, *, events: Sequence[str] | None = None, description: str = "") -> Webhook:
        """Make a webhook; the answer alone holds its secret.

        Args:
            url: where messages are posted.
            events: what it is told, of job.completed, job.failed, job.cancelled, alert.opened, alert.closed and
                schedule.run_failed; all by default.
            description: for people.

        Raises:
            ProblemError: when the server's operator does not permit the URL.
        """
        body = {"url": url, "description": description} | ({} if events is None else {"events": list(events)})
        headers = repeatable()
        return Webhook.of(self._server.json("POST", "/webhooks", json=body, headers=headers))

    def list(self) -> Listing[Webhook]:
        """Return the webhooks, oldest first."""
        columns = ("id", "url", "events", "enabled", "description", "created")
        return Listing(lambda: map(Webhook.of, self._server.pages("/webhooks", {})), columns, _row)

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook; raises NotFoundError when there is none of that id."""
        return Webhook.of(self._server.json("GET", path_of("webhook", webhook_id)))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given; one that is disabled is told nothing more, and what waits for it is given up."""
        given = {"url": url, "events": events and [*events], "description": description, "enabled": enabled}
        changes = {name: value for name, value in given.items() if value is not None}
        return Webhook.of(self._server.json("PATCH", path_of("webhook", webhook_id), json=changes))

    def remove(self, webhook_id: str) -> None:
        """Delete a webhook and the log of its deliveries."""
        self._server.request("DELETE", path_of("webhook", webhook_id))

    def test(self, webhook_id: str) -> Delivery:
        """Send a message that tells nothing; how it went is seen in `deliveries`."""
        return Delivery.of(self._server.json("POST", f"{path_of('webhook', webhook_id)}/test"))

    def deliveries(self, webhook_id: str) -> Listing[Delivery]:
        """Return what was sent to a webhook and what is to be sent, newest first."""
        path = f"{path_of('webhook', webhook_id)}/deliveries"
        columns = ("id", "event", "state", "created", "attempts", "last", "next attempt")
        return Listing(lambda: map(Delivery.of, self._server.pages(path, {})), columns, _delivery_row)


def _row(webhook: Webhook) -> tuple[object, ...]:
    events = ", ".join(webhook.events)
    return webhook.id, webhook.url, events, webhook.enabled, webhook.description, webhook.created_at


def _delivery_row(delivery: Delivery) -> tuple[object, ...]:
    shown = (delivery.id, delivery.event, delivery.state, delivery.created_at, len(delivery.attempts))
    return *shown, last_word(delivery), delivery.next_attempt_at


def last_word(delivery: Delivery) -> str:
    """Return how the last attempt went: the status of the answer, or the class of what went wrong."""
    if not delivery.attempts:
        return ""
    last = delivery.attempts[-1]
    return str(last.error if last.status is None else last.status)
