"""The tables of webhooks and of what is sent to them."""

from sqlalchemy import JSON, Boolean, CheckConstraint, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from service.store.tables import Serial, metadata, one_of
from service.store.webhook_entities import DeliveryState

webhook = Table(
    "webhook",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
)

delivery = Table(  # the outbox: written with what it tells; the body is what every attempt sends, byte by byte
    "delivery",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("webhook_seq", ForeignKey("webhook.seq", ondelete="CASCADE"), nullable=False),
    Column("event", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("n_attempts", Integer, nullable=False),
    Column("attempts", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, index=True),
    Column("settled_at", Double, index=True),
    CheckConstraint(one_of("state", DeliveryState), name="state"),
    CheckConstraint("(state = 'pending') = (due_at IS NOT NULL)", name="due"),
    CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled"),
    Index(None, "webhook_seq", "seq"),
)
