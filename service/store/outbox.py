"""The outbox: what webhooks are told is written in the transaction in which it happens."""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from service.store.entities import Job
from service.store.tables import db_now
from service.store.tallying import count_progress
from service.store.webhook_entities import DeliveryState
from service.store.webhook_tables import delivery, webhook
from service.summary import job_values, time_text

MAX_ERROR = 2_000  # characters of a job's error: a message stays small whatever a driver said


def announce_end(connection: Connection, ended: Job) -> None:
    """Tell the end of a job to every webhook that wants to hear of it, when this transaction commits."""
    event = f"job.{ended.state}"
    hearing = hearing_of(connection, event)
    if not hearing:
        return
    values = job_values(ended, count_progress(connection, [ended.id])[ended.id])
    del values["execution"]  # of many optimizers it is long, and says nothing of the end
    values["error"] = ended.error and ended.error[:MAX_ERROR]
    post(connection, hearing, event, values, at=ended.finished_at)


def hearing_of(connection: Connection, event: str, only: Collection[str] | None = None) -> list[int]:
    """Return the webhooks that want to hear of an event, held so that none is deleted before the transaction ends.

    Args:
        connection: the transaction in which the event happens.
        event: its type.
        only: ids of those that may hear of it; None for all.
    """
    # A webhook that is deleted meanwhile must not make what it would be told fail.
    enabled = select(webhook.c.seq, webhook.c.id, webhook.c.events).where(webhook.c.enabled).order_by(webhook.c.seq)
    rows = connection.execute(enabled.with_for_update(read=True, key_share=True)).all()
    return [row.seq for row in rows if event in row.events and (only is None or row.id in only)]


def post(
    connection: Connection, webhook_seqs: Iterable[int], event: str, data: Mapping[str, Any], *, at: float | None = None
) -> list[str]:
    """Put a message for each of some webhooks into the outbox, and return the ids of the messages.

    Args:
        connection: the transaction in which the event happens.
        webhook_seqs: to whom.
        event: its type, words with full stops between.
        data: what there is to say, as plain values.
        at: when it happened; now by default.
    """
    now = at if at is not None else connection.execute(select(db_now())).scalar_one()
    body = json.dumps({"type": event, "timestamp": time_text(now), "data": data}, separators=(",", ":"))
    rows = [
        {
            "id": f"msg_{secrets.token_hex(16)}",
            "webhook_seq": seq,
            "event": event,
            "body": body,
            "state": str(DeliveryState.PENDING),
            "n_attempts": 0,
            "attempts": [],
            "created_at": now,
            "due_at": now,
        }
        for seq in webhook_seqs
    ]
    connection.execute(insert(delivery), rows)
    return [str(row["id"]) for row in rows]
