"""Webhooks and their outbox; an idempotency key may stand for what is no job."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and give the column of the keys its wider name."""
    op.create_table(
        "webhook",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_id")),
    )
    op.create_table(
        "delivery",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("webhook_seq", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_delivery_state")),
        sa.CheckConstraint("(state = 'pending') = (due_at IS NOT NULL)", name=op.f("ck_delivery_due")),
        sa.CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name=op.f("ck_delivery_settled")),
        sa.ForeignKeyConstraint(
            ["webhook_seq"], ["webhook.seq"], name=op.f("fk_delivery_webhook_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_delivery")),
        sa.UniqueConstraint("id", name=op.f("uq_delivery_id")),
    )
    op.create_index(op.f("ix_delivery_due_at"), "delivery", ["due_at"])
    op.create_index(op.f("ix_delivery_settled_at"), "delivery", ["settled_at"])
    op.create_index(op.f("ix_delivery_webhook_seq_seq"), "delivery", ["webhook_seq", "seq"])
    _rename("job_id", "resource_id")


def downgrade() -> None:
    """Drop the tables, and the keys under which webhooks were made."""
    op.execute("DELETE FROM idempotency WHERE resource_id IN (SELECT id FROM webhook)")
    _rename("resource_id", "job_id")
    op.drop_table("delivery")
    op.drop_table("webhook")


def _rename(before: str, after: str) -> None:
    with op.batch_alter_table("idempotency") as batch:
        batch.drop_index(f"ix_idempotency_{before}")
        batch.alter_column(before, new_column_name=after, existing_type=sa.String(32), existing_nullable=False)
    op.create_index(f"ix_idempotency_{after}", "idempotency", [after])
