"""Remember how far the cells are that a job has in flight."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: what runs meanwhile fills it."""
    op.add_column("job", sa.Column("in_flight", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop the column: it says what is going on at the moment."""
    with op.batch_alter_table("job") as batch:
        batch.drop_column("in_flight")
