"""Deliveries: servers take what is due by lease, and write down how it went."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select, update

from service.store import checks
from service.store.errors import NotFoundError
from service.store.part import Part
from service.store.tables import db_now
from service.store.webhook_entities import Delivery, DeliveryAttempt, DeliveryState, DueDelivery, Webhook
from service.store.webhook_tables import delivery, webhook

KEPT_S = 30 * 86_400  # the log of what was delivered or given up


class Deliveries(Part):
    """The life of what is in the outbox. Only the database's clock counts."""

    def claim_deliveries(self, limit: int, lease_s: float) -> list[DueDelivery]:
        """Take what is due, for so many seconds: what is not settled by then is due again.

        Args:
            limit: at most so many.
            lease_s: how long nobody else may take them.
        """
        due = delivery.c.due_at <= db_now()
        with self._database.read() as connection:  # most often nothing is, and then no writer is held up
            if connection.execute(select(delivery.c.seq).where(due).limit(1)).first() is None:
                return []
        columns = [*(column.label(f"webhook_{column.name}") for column in webhook.c), *delivery.c]
        taken = select(*columns).join_from(delivery, webhook).where(due).order_by(delivery.c.due_at)
        taken = taken.limit(checks.integer("limit", limit)).with_for_update(skip_locked=True, of=delivery)
        with self._database.write() as connection:
            rows = {row["seq"]: row for row in connection.execute(taken).mappings()}
            leased = {
                "due_at": db_now() + checks.seconds("lease_s", lease_s),
                "n_attempts": delivery.c.n_attempts + 1,
            }
            mine = update(delivery).where(delivery.c.seq.in_(rows)).values(**leased).returning(delivery)
            found = sorted(connection.execute(mine).mappings(), key=lambda row: int(row["seq"]))
            return [DueDelivery(delivery_from_row(row), _webhook(rows[row["seq"]])) for row in found]

    def settle_delivery(
        self, due: Delivery, attempt: DeliveryAttempt, *, again_in_s: float | None = None, gone: bool = False
    ) -> bool:
        """Write down how an attempt went.

        Args:
            due: as it was claimed.
            attempt: how it went; without an error the message is delivered.
            again_in_s: when it is sent next after an error; None gives it up.
            gone: whether the receiver wants no message ever again: its webhook is disabled.

        Returns:
            Whether it was written: not where the lease ran out and another server took it, or its webhook was deleted.
        """
        with self._database.write() as connection:
            if gone:  # first: whoever gives up all messages of a webhook holds its row before theirs
                theirs = select(delivery.c.webhook_seq).where(delivery.c.seq == due.seq).scalar_subquery()
                connection.execute(select(webhook.c.seq).where(webhook.c.seq == theirs).with_for_update())
            owned = (
                delivery.c.seq == due.seq,
                delivery.c.n_attempts == due.n_attempts,
                delivery.c.state == str(DeliveryState.PENDING),
            )
            row = connection.execute(
                select(delivery.c.attempts, delivery.c.webhook_seq, db_now().label("now"))
                .where(*owned)
                .with_for_update()
            ).one_or_none()
            if row is None:
                return False
            entry = {"attempt": due.n_attempts, "at": row.now - attempt.elapsed_s, **asdict(attempt)}
            values: dict[str, Any] = {"attempts": [*row.attempts, entry]}
            if attempt.error is not None and again_in_s is not None:
                values["due_at"] = db_now() + checks.seconds("again_in_s", again_in_s)
            else:
                state = DeliveryState.DELIVERED if attempt.error is None else DeliveryState.FAILED
                values |= {"state": str(state), "due_at": None, "settled_at": db_now()}
            connection.execute(update(delivery).where(delivery.c.seq == due.seq).values(**values))
            if gone:
                connection.execute(update(webhook).where(webhook.c.seq == row.webhook_seq).values(enabled=False))
                give_up(connection, row.webhook_seq)
            connection.execute(delete(delivery).where(delivery.c.settled_at < db_now() - KEPT_S))
            return True

    def deliveries(self, webhook_id: str, limit: int = 50, before: int | None = None) -> list[Delivery]:
        """Return the deliveries to a webhook, newest first.

        Args:
            webhook_id: which one.
            limit: at most so many.
            before: only those older than the one with this `seq`, to go on after the last one of a list.

        Raises:
            NotFoundError: if there is no such webhook.
        """
        with self._database.read() as connection:
            seq = connection.execute(select(webhook.c.seq).where(webhook.c.id == webhook_id)).scalar_one_or_none()
            if seq is None:
                raise NotFoundError(f"there is no webhook {webhook_id!r}.")
            statement = select(delivery).where(delivery.c.webhook_seq == seq).order_by(delivery.c.seq.desc())
            if before is not None:
                statement = statement.where(delivery.c.seq < checks.integer("before", before, high=checks.MAX_BIG))
            rows = connection.execute(statement.limit(checks.integer("limit", limit))).mappings()
            return [delivery_from_row(row) for row in rows]


def give_up(connection: Connection, webhook_seq: int) -> None:
    """Give up every delivery to a webhook that is not settled yet."""
    pending = (delivery.c.webhook_seq == webhook_seq, delivery.c.state == str(DeliveryState.PENDING))
    values = {"state": str(DeliveryState.FAILED), "due_at": None, "settled_at": db_now()}
    connection.execute(update(delivery).where(*pending).values(**values))


def delivery_from_row(row: RowMapping) -> Delivery:
    """Return the delivery of a row with all columns of its table."""
    values = {name: row[name] for name in Delivery.__dataclass_fields__}
    values["state"] = DeliveryState(values["state"])
    values["attempts"] = tuple(values["attempts"])
    return Delivery(**values)


def _webhook(row: RowMapping) -> Webhook:
    values = {name: row[f"webhook_{name}"] for name in Webhook.__dataclass_fields__}
    return Webhook(**{**values, "events": tuple(values["events"])})
