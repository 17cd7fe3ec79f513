"""Idempotency keys: what is made under one is made only once."""

from sqlalchemy import Connection, delete, select

from service.store import checks
from service.store.errors import IdempotencyConflictError
from service.store.part import insert_into
from service.store.tables import db_now, idempotency

IDEMPOTENCY_KEPT_S = 24 * 3600


def reserve(connection: Connection, principal: str, key: str, body: str, resource_id: str) -> str | None:
    """Take an idempotency key for what is about to be made, or return the id of what was made under it.

    Args:
        connection: the transaction that makes it.
        principal: whose key it is.
        key: as it was sent.
        body: hash of what is made and of its kind.
        resource_id: of what is about to be made.

    Raises:
        IdempotencyConflictError: if the key was used with another body in the last 24 hours.
    """
    columns = idempotency.c
    identity = {
        "principal": checks.text("principal", principal, limit=checks.MAX_LABEL),
        "key": checks.text("the idempotency key", key, limit=checks.MAX_LABEL),
    }
    connection.execute(delete(idempotency).where(columns.created_at < db_now() - IDEMPOTENCY_KEPT_S))
    values = {**identity, "body": body, "resource_id": resource_id, "created_at": db_now()}
    statement = insert_into(connection, idempotency).values(**values)
    if connection.execute(statement.on_conflict_do_nothing().returning(columns.resource_id)).first() is not None:
        return None
    earlier = connection.execute(select(idempotency).filter_by(**identity)).one()
    if earlier.body != body:
        raise IdempotencyConflictError(f"the idempotency key {key!r} was used before with another body.")
    return str(earlier.resource_id)
