"""Baselines, schedules, their runs, and alerts; jobs that replay or repeat another one."""

import sqlalchemy as sa
from alembic import op

from service.store.errors import SchemaError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIVING = sa.text("state != 'closed'")


def upgrade() -> None:
    """Make the tables, and the columns of a job."""
    op.add_column("job", sa.Column("replay", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("rerun", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("made_by", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("probes", sa.JSON(), nullable=True))
    op.create_table(
        "baseline",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("job_seq", sa.Integer(), nullable=False),
        sa.Column("y_ref", sa.JSON(), nullable=False),
        sa.Column("alarm_rate", sa.Double(), nullable=True),
        sa.Column("limits", sa.JSON(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("set_at", sa.Double(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_baseline_job_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_baseline")),
        sa.UniqueConstraint("id", name=op.f("uq_baseline_id")),
        sa.UniqueConstraint("name", name=op.f("uq_baseline_name")),
    )
    op.create_index(op.f("ix_baseline_job_seq"), "baseline", ["job_seq"])
    op.create_table(
        "replay",
        sa.Column("baseline_seq", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_seq", sa.Integer(), nullable=True),
        sa.Column("statistic", sa.Double(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("job_revision", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["baseline_seq"], ["baseline.seq"], name=op.f("fk_replay_baseline_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_replay_job_seq"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("baseline_seq", "number", name=op.f("pk_replay")),
    )
    op.create_index(op.f("ix_replay_job_seq"), "replay", ["job_seq"])
    op.create_table(
        "schedule",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("cron", sa.String(200), nullable=False),
        sa.Column("timezone", sa.String(100), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("n_cells", sa.Integer(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("webhooks", sa.JSON(), nullable=True),
        sa.Column("next_due_at", sa.Double(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_schedule")),
        sa.UniqueConstraint("id", name=op.f("uq_schedule_id")),
        sa.UniqueConstraint("name", name=op.f("uq_schedule_name")),
    )
    op.create_index(op.f("ix_schedule_next_due_at"), "schedule", ["next_due_at"])
    op.create_table(
        "scheduled_run",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("schedule_seq", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("n_missed", sa.Integer(), nullable=False),
        sa.Column("is_manual", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_seq", sa.Integer(), nullable=True),
        sa.Column("baseline_job_seq", sa.Integer(), nullable=True),
        sa.Column("baseline_name", sa.String(200), nullable=True),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("comparison", sa.JSON(), nullable=True),
        sa.Column("measures", sa.JSON(), nullable=True),
        sa.Column("reference", sa.JSON(), nullable=True),
        sa.Column("made_by", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("judged_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('training', 'judged', 'failed')", name=op.f("ck_scheduled_run_state")),
        sa.ForeignKeyConstraint(
            ["schedule_seq"], ["schedule.seq"], name=op.f("fk_scheduled_run_schedule_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_scheduled_run_job_seq"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["baseline_job_seq"], ["job.seq"], name=op.f("fk_scheduled_run_baseline_job_seq"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_scheduled_run")),
        sa.UniqueConstraint("id", name=op.f("uq_scheduled_run_id")),
        sa.UniqueConstraint("schedule_seq", "due_at", name=op.f("uq_scheduled_run_schedule_seq_due_at")),
    )
    for name in ("state", "job_seq", "baseline_job_seq"):
        op.create_index(op.f(f"ix_scheduled_run_{name}"), "scheduled_run", [name])
    op.create_index(op.f("ix_scheduled_run_schedule_seq_seq"), "scheduled_run", ["schedule_seq", "seq"])
    op.create_table(
        "alert",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("schedule_seq", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(200), nullable=False),
        sa.Column("optimizer", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("measures", sa.JSON(), nullable=False),
        sa.Column("first_run_seq", _SERIAL, nullable=False),
        sa.Column("last_run_seq", _SERIAL, nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("acknowledged_at", sa.Double(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'acknowledged', 'closed')", name=op.f("ck_alert_state")),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name=op.f("ck_alert_closed")),
        sa.ForeignKeyConstraint(
            ["schedule_seq"], ["schedule.seq"], name=op.f("fk_alert_schedule_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["first_run_seq"], ["scheduled_run.seq"], name=op.f("fk_alert_first_run_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["last_run_seq"], ["scheduled_run.seq"], name=op.f("fk_alert_last_run_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_alert")),
        sa.UniqueConstraint("id", name=op.f("uq_alert_id")),
    )
    for name in ("schedule_seq", "first_run_seq", "last_run_seq"):
        op.create_index(op.f(f"ix_alert_{name}"), "alert", [name])
    op.create_index(op.f("ix_alert_state_seq"), "alert", ["state", "seq"])
    op.create_index(
        "uq_alert_living",
        "alert",
        ["schedule_seq", "task", "optimizer"],
        unique=True,
        sqlite_where=_LIVING,
        postgresql_where=_LIVING,
    )


def downgrade() -> None:
    """Drop the tables and the columns; refuse while there is a baseline or a schedule."""
    for table in ("baseline", "schedule"):
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first():  # noqa: S608  (our own names)
            raise SchemaError(f"going back before revision {revision} would lose every {table}; nothing was changed.")
    for table in ("alert", "scheduled_run", "schedule", "replay", "baseline"):
        op.drop_table(table)
    with op.batch_alter_table("job") as batch:
        batch.drop_column("made_by")
        batch.drop_column("probes")
        batch.drop_column("rerun")
        batch.drop_column("replay")
