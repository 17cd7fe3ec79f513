"""Webhooks: who is told what, by whose wish."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from benchmark.canonical import content_hash
from service.keys import new_id
from service.store import checks
from service.store.deliveries import delivery_from_row, give_up
from service.store.errors import InvalidValueError, NotFoundError
from service.store.outbox import post
from service.store.part import Part, oldest_page
from service.store.reserving import reserve
from service.store.tables import db_now, idempotency
from service.store.webhook_entities import Delivery, NewWebhook, Webhook
from service.store.webhook_tables import delivery, webhook

TEST_EVENT = "webhook.test"
MAX_URL = 2_000
_CHANGEABLE = frozenset({"url", "events", "description", "enabled"})


class Webhooks(Part):
    """Making, changing and testing webhooks."""

    def create_webhook(
        self, new: NewWebhook, *, principal: str = "local", idempotency_key: str | None = None
    ) -> tuple[Webhook, bool]:
        """Make a webhook.

        Args:
            new: what it is; its secret is no part of what an idempotency key stands for.
            principal: who makes it, and whose idempotency key it is.
            idempotency_key: under which a repeated call gives the webhook of the first one.

        Returns:
            The webhook as it is now, and whether this call made it.

        Raises:
            IdempotencyConflictError: if the key was used with another body in the last 24 hours.
            InvalidValueError: if a value cannot be kept.
        """
        values = _checked(asdict(new))
        body = content_hash({"kind": "webhook", **{name: values[name] for name in sorted(_CHANGEABLE)}})
        webhook_id = new_id()
        with self._database.write() as connection:
            if idempotency_key is not None:
                earlier = reserve(connection, principal, idempotency_key, body, webhook_id)
                if earlier is not None:
                    return _read(connection, earlier), False
            statement = insert(webhook).values(
                id=webhook_id, created_at=db_now(), created_by=checks.text("principal", principal), **values
            )
            return webhook_from_row(connection.execute(statement.returning(webhook)).mappings().one()), True

    def webhook(self, webhook_id: str) -> Webhook:
        """Return a webhook.

        Raises:
            NotFoundError: if there is none of that id.
        """
        with self._database.read() as connection:
            return _read(connection, webhook_id)

    def webhooks(self, limit: int = 50, after: int = 0) -> list[Webhook]:
        """Return webhooks, oldest first, at most `limit` of those made after the one with the `seq` of `after`."""
        statement = oldest_page(select(webhook), webhook.c.seq, limit, after)
        with self._database.read() as connection:
            return [webhook_from_row(row) for row in connection.execute(statement).mappings()]

    def change_webhook(self, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        """Change the url, events, description or enabled of a webhook.

        One that is disabled gets nothing more: what was not delivered yet is given up.

        Raises:
            NotFoundError: if there is none of that id.
            InvalidValueError: if a value cannot be kept.
        """
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown:
            raise InvalidValueError(f"{unknown[0]} of a webhook cannot be changed.")
        values = _checked(changes)
        with self._database.write() as connection:
            found = _read(connection, webhook_id, lock=True)
            if not values:
                return found
            statement = update(webhook).where(webhook.c.seq == found.seq).values(**values).returning(webhook)
            changed = webhook_from_row(connection.execute(statement).mappings().one())
            if not changed.enabled:
                give_up(connection, changed.seq)
            return changed

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook and its deliveries; raises NotFoundError if there is none of that id."""
        with self._database.write() as connection:
            found = _read(connection, webhook_id, lock=True)
            connection.execute(delete(webhook).where(webhook.c.seq == found.seq))
            connection.execute(delete(idempotency).where(idempotency.c.resource_id == found.id))

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send a webhook a message that tells nothing, enabled or not; raises NotFoundError if there is none."""
        with self._database.write() as connection:
            found = _read(connection, webhook_id, lock=True)
            (message_id,) = post(connection, [found.seq], TEST_EVENT, {"webhook_id": found.id})
            sent = select(delivery).where(delivery.c.id == message_id)
            return delivery_from_row(connection.execute(sent).mappings().one())


def webhook_from_row(row: RowMapping) -> Webhook:
    """Return the webhook of a row with all columns of its table."""
    return Webhook(**{**row, "events": tuple(row["events"])})


def _read(connection: Connection, webhook_id: str, *, lock: bool = False) -> Webhook:
    statement = select(webhook).where(webhook.c.id == webhook_id)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no webhook {webhook_id!r}.")
    return webhook_from_row(row)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(values)
    for name, limit in (("url", MAX_URL), ("secret", checks.MAX_LABEL), ("description", checks.MAX_LABEL)):
        if name in checked:
            checked[name] = checks.text(name, checked[name], limit=limit)
    if "events" in checked:
        checked["events"] = [checks.text("an event", event, limit=checks.MAX_LABEL) for event in checked["events"]]
    return checked
