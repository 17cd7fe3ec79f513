"""The first schema."""

import sqlalchemy as sa
from alembic import op

from service.store.errors import SchemaError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "dispatcher",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatcher")),
    )
    op.create_table(
        "fingerprint",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_fingerprint")),
        sa.UniqueConstraint("key", name=op.f("uq_fingerprint_key")),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("body", sa.LargeBinary(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)
    op.create_index(op.f("ix_idempotency_job_id"), "idempotency", ["job_id"], unique=False)
    op.create_table(
        "job",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested", sa.String(length=16), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("retried_after", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("max_crashes", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("run_after", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("n_cells", sa.Integer(), nullable=False),
        sa.Column("execution", sa.JSON(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("first_record_at", sa.Double(), nullable=True),
        sa.Column("last_record_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("rerun_of", sa.String(length=32), nullable=True),
        sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_job_lease")),
        sa.CheckConstraint("requested IN ('preempt', 'pause', 'cancel')", name=op.f("ck_job_requested")),
        sa.CheckConstraint("requested IS NULL OR state = 'running'", name=op.f("ck_job_requested_running")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled')", name=op.f("ck_job_state")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_job")),
        sa.UniqueConstraint("id", name=op.f("uq_job_id")),
    )
    op.create_index(op.f("ix_job_state_priority_seq"), "job", ["state", "priority", "seq"], unique=False)
    op.create_table(
        "origin",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_origin")),
        sa.UniqueConstraint("job_id", "attempt", name=op.f("uq_origin_job_id_attempt")),
    )
    op.create_table(
        "setting",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_setting")),
        sa.UniqueConstraint("key", name=op.f("uq_setting_key")),
    )
    op.create_table(
        "shape",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_shape")),
        sa.UniqueConstraint("key", name=op.f("uq_shape_key")),
    )
    op.create_table(
        "facet",
        sa.Column("job_seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_facet_job_seq"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_seq", "kind", "value", name=op.f("pk_facet")),
    )
    op.create_index(op.f("ix_facet_kind_value"), "facet", ["kind", "value"], unique=False)
    op.create_table(
        "record",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("elapsed_s", sa.Double(), nullable=False),
        sa.Column("grad_norm", sa.Double(), nullable=True),
        sa.Column("delta_over_rho", sa.Double(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("gradient_evaluations", sa.BigInteger(), nullable=False),
        sa.Column("diverged_at_step", sa.BigInteger(), nullable=True),
        sa.Column("origin_seq", sa.Integer(), nullable=False),
        sa.Column("fingerprint_seq", sa.Integer(), nullable=False),
        sa.Column("setting_seq", sa.Integer(), nullable=False),
        sa.Column("shape_seq", sa.Integer(), nullable=False),
        sa.Column("pack_size", sa.Integer(), nullable=False),
        sa.Column("pack_position", sa.Integer(), nullable=False),
        sa.Column("collapsed", sa.Boolean(), nullable=False),
        sa.Column("amortised", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("config_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("hyperparameters", sa.LargeBinary(), nullable=False),
        sa.Column("metrics", sa.LargeBinary(), nullable=False),
        sa.Column("curve", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('completed', 'diverged', 'timed_out', 'failed')", name=op.f("ck_record_status")),
        sa.ForeignKeyConstraint(["fingerprint_seq"], ["fingerprint.seq"], name=op.f("fk_record_fingerprint_seq")),
        sa.ForeignKeyConstraint(["origin_seq"], ["origin.seq"], name=op.f("fk_record_origin_seq")),
        sa.ForeignKeyConstraint(["setting_seq"], ["setting.seq"], name=op.f("fk_record_setting_seq")),
        sa.ForeignKeyConstraint(["shape_seq"], ["shape.seq"], name=op.f("fk_record_shape_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_record")),
        sa.UniqueConstraint(
            "config_key", "fingerprint_seq", "origin_seq", name=op.f("uq_record_config_key_fingerprint_seq_origin_seq")
        ),
        sa.UniqueConstraint("id", name=op.f("uq_record_id")),
    )
    op.create_index(op.f("ix_record_origin_seq"), "record", ["origin_seq"], unique=False)
    op.create_table(
        "tally",
        sa.Column("job_seq", sa.Integer(), nullable=False),
        sa.Column("fingerprint_seq", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("collapsed", sa.Boolean(), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint("n >= 0", name=op.f("ck_tally_n")),
        sa.ForeignKeyConstraint(["fingerprint_seq"], ["fingerprint.seq"], name=op.f("fk_tally_fingerprint_seq")),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_tally_job_seq"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_seq", "fingerprint_seq", "status", "collapsed", "reused", name=op.f("pk_tally")),
    )
    op.create_table(
        "link",
        sa.Column("record_seq", _SERIAL, nullable=False),
        sa.Column("job_seq", sa.Integer(), nullable=False),
        sa.Column("config_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("optimizer", sa.String(length=200), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["job.seq"], name=op.f("fk_link_job_seq"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["record_seq"], ["record.seq"], name=op.f("fk_link_record_seq")),
        sa.PrimaryKeyConstraint("job_seq", "config_key", name=op.f("pk_link")),
    )
    op.create_index(op.f("ix_link_record_seq"), "link", ["record_seq"], unique=False)


def downgrade() -> None:
    """Drop every table, unless a job or a record would be lost."""
    for table in ("job", "record"):
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first():
            raise SchemaError(f"going back before revision {revision} would lose every {table}; nothing was changed.")
    op.drop_index(op.f("ix_link_record_seq"), table_name="link")
    op.drop_table("link")
    op.drop_table("tally")
    op.drop_index(op.f("ix_record_origin_seq"), table_name="record")
    op.drop_table("record")
    op.drop_index(op.f("ix_facet_kind_value"), table_name="facet")
    op.drop_table("facet")
    op.drop_table("shape")
    op.drop_table("setting")
    op.drop_table("origin")
    op.drop_index(op.f("ix_job_state_priority_seq"), table_name="job")
    op.drop_table("job")
    op.drop_index(op.f("ix_idempotency_job_id"), table_name="idempotency")
    op.drop_index(op.f("ix_idempotency_created_at"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("fingerprint")
    op.drop_table("dispatcher")
