"""Indices for every order in which jobs are listed, and for what they are found by."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OF_JOBS = {
    "ix_job_finished_at_seq": ["finished_at", "seq"],
    "ix_job_name_seq": ["name", "seq"],
    "ix_job_priority_seq": ["priority", "seq"],
    "ix_job_state_seq": ["state", "seq"],
    "ix_job_submitted_by_seq": ["submitted_by", "seq"],
}


def upgrade() -> None:
    """Make the indices; that of words has the jobs in it."""
    for name, columns in _OF_JOBS.items():
        op.create_index(op.f(name), "job", columns)
    op.drop_index(op.f("ix_facet_kind_value"), table_name="facet")
    op.create_index(op.f("ix_facet_kind_value_job_seq"), "facet", ["kind", "value", "job_seq"])


def downgrade() -> None:
    """Go back to the indices that there were."""
    op.drop_index(op.f("ix_facet_kind_value_job_seq"), table_name="facet")
    op.create_index(op.f("ix_facet_kind_value"), "facet", ["kind", "value"])
    for name in _OF_JOBS:
        op.drop_index(op.f(name), table_name="job")
