"""Remember how long a step takes on a device."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of timings."""
    op.create_table(
        "timing",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("fused_s", sa.Double(), nullable=True),
        sa.Column("sequential_s", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_timing")),
    )


def downgrade() -> None:
    """Drop the table: what is in it is measured again where it is missing."""
    op.drop_table("timing")
