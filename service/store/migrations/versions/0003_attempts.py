"""Remember how many cells a job had when its attempt began, and whether a dispatcher claims jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: what runs meanwhile puts them right with its next attempt and its next report."""
    with op.batch_alter_table("job") as batch:
        batch.add_column(sa.Column("n_before", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("dispatcher") as batch:
        batch.add_column(sa.Column("claims", sa.Boolean(), nullable=False, server_default=sa.true()))
    for table, column, kind in (("job", "n_before", sa.Integer()), ("dispatcher", "claims", sa.Boolean())):
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column, existing_type=kind, server_default=None)


def downgrade() -> None:
    """Drop the columns: only a rate and a decision of the moment are made of them."""
    with op.batch_alter_table("dispatcher") as batch:
        batch.drop_column("claims")
    with op.batch_alter_table("job") as batch:
        batch.drop_column("n_before")
