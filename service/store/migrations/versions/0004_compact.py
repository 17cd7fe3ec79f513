"""Keep records in fewer bytes: labels once, statuses as numbers, and keys as UUIDs where the database has them."""

import sqlalchemy as sa
from alembic import op

from service.store.codec import FRAMED, pack_unframed, unpack_curve

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEYS = {  # what the big tables' own changes do not take with them
    "setting": "key",
    "fingerprint": "key",
    "shape": "key",
    "idempotency": "body",
    "timing": "key",
}
STATUSES = {"completed": 1, "diverged": 2, "timed_out": 3, "failed": 4}
NARROWED = ("seed", "steps", "gradient_evaluations", "diverged_at_step")
BY_NUMBER = f"status IN ({', '.join(map(str, STATUSES.values()))})"
BY_WORD = f"status IN ({', '.join(map(repr, STATUSES))})"
AS_NUMBER = f"CASE status {' '.join(f'WHEN {word!r} THEN {number}' for word, number in STATUSES.items())} END"
AS_WORD = f"CASE status {' '.join(f'WHEN {number} THEN {word!r}' for word, number in STATUSES.items())} END"
IN_CHUNK = 1000


def upgrade() -> None:
    """Move the labels into a table of their own, and change the types; a database does it alone, row by row."""
    op.create_table(
        "label",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("optimizer", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_label")),
        sa.UniqueConstraint("task", "optimizer", name=op.f("uq_label_task_optimizer")),
    )
    op.execute("INSERT INTO label (task, optimizer) SELECT DISTINCT task, optimizer FROM link ORDER BY 1, 2")
    op.add_column("link", sa.Column("label_seq", sa.Integer(), nullable=True))
    same = "label.task = link.task AND label.optimizer = link.optimizer"
    op.execute(f"UPDATE link SET label_seq = (SELECT label.seq FROM label WHERE {same})")  # noqa: S608
    if _is_postgresql():
        for table, column in KEYS.items():
            op.execute(f"ALTER TABLE {table} {_to_uuid(column)}")
        op.execute(
            f"ALTER TABLE link {_to_uuid('config_key')}, DROP COLUMN task, DROP COLUMN optimizer, DROP COLUMN reused, "
            "ALTER label_seq SET NOT NULL, "
            "ADD CONSTRAINT fk_link_label_seq FOREIGN KEY (label_seq) REFERENCES label (seq)"
        )
        narrowed = ", ".join(f"ALTER {column} TYPE integer" for column in NARROWED)
        to_number = f"ALTER status TYPE smallint USING {AS_NUMBER}"
        op.execute(f"ALTER TABLE tally {to_number}")
        op.execute(
            f"ALTER TABLE record DROP CONSTRAINT ck_record_status, {_to_uuid('id')}, {_to_uuid('config_key')}, "
            f"{narrowed}, {to_number}, ADD CONSTRAINT ck_record_status CHECK ({BY_NUMBER})"
        )
        return
    with op.batch_alter_table("link") as batch:
        for column in ("task", "optimizer", "reused"):
            batch.drop_column(column)
        batch.alter_column("label_seq", existing_type=sa.Integer(), nullable=False)
        batch.create_foreign_key(op.f("fk_link_label_seq"), "label", ["label_seq"], ["seq"])
    _change_records(AS_NUMBER, BY_NUMBER, status=sa.SmallInteger(), narrowed=sa.Integer())


def downgrade() -> None:
    """Move the labels back into the links, and pack curves as the older version can read them."""
    _unframe_curves()
    for column, kind in (("task", sa.String(200)), ("optimizer", sa.String(200)), ("reused", sa.Boolean())):
        op.add_column("link", sa.Column(column, kind, nullable=True))
    other = "origin.job_id <> (SELECT job.id FROM job WHERE job.seq = link.job_seq)"
    trained = "record JOIN origin ON origin.seq = record.origin_seq WHERE record.seq = link.record_seq"
    op.execute(
        "UPDATE link SET task = (SELECT label.task FROM label WHERE label.seq = link.label_seq), "  # noqa: S608
        "optimizer = (SELECT label.optimizer FROM label WHERE label.seq = link.label_seq), "
        f"reused = (SELECT {other} FROM {trained})"
    )
    if _is_postgresql():
        for table, column in KEYS.items():
            op.execute(f"ALTER TABLE {table} {_to_bytes(column)}")
        op.execute(
            f"ALTER TABLE link {_to_bytes('config_key')}, DROP COLUMN label_seq, "
            "ALTER task SET NOT NULL, ALTER optimizer SET NOT NULL, ALTER reused SET NOT NULL"
        )
        widened = ", ".join(f"ALTER {column} TYPE bigint" for column in NARROWED)
        to_word = f"ALTER status TYPE varchar(16) USING {AS_WORD}"
        op.execute(f"ALTER TABLE tally {to_word}")
        op.execute(
            f"ALTER TABLE record DROP CONSTRAINT ck_record_status, {_to_bytes('id')}, {_to_bytes('config_key')}, "
            f"{widened}, {to_word}, ADD CONSTRAINT ck_record_status CHECK ({BY_WORD})"
        )
    else:
        with op.batch_alter_table("link") as batch:
            batch.drop_constraint(op.f("fk_link_label_seq"), type_="foreignkey")
            batch.drop_column("label_seq")
            for column, kind in (("task", sa.String(200)), ("optimizer", sa.String(200)), ("reused", sa.Boolean())):
                batch.alter_column(column, existing_type=kind, nullable=False)
        _change_records(AS_WORD, BY_WORD, status=sa.String(16), narrowed=sa.BigInteger())
    op.drop_table("label")


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _to_uuid(column: str) -> str:
    return f"ALTER {column} TYPE uuid USING encode({column}, 'hex')::uuid"


def _to_bytes(column: str) -> str:
    return f"ALTER {column} TYPE bytea USING uuid_send({column})"


def _change_records(
    converted: str, allowed: str, *, status: sa.SmallInteger | sa.String, narrowed: sa.Integer
) -> None:
    """Change the types of statuses and counts on SQLite; a changed column is copied with a cast, so values go first."""
    with op.batch_alter_table("record") as batch:
        batch.drop_constraint(op.f("ck_record_status"), type_="check")
    for table in ("record", "tally"):
        op.execute(f"UPDATE {table} SET status = {converted}")  # noqa: S608
    with op.batch_alter_table("tally") as batch:
        batch.alter_column("status", type_=status, existing_nullable=False)
    with op.batch_alter_table("record") as batch:
        batch.alter_column("status", type_=status, existing_nullable=False)
        for column in NARROWED:
            batch.alter_column(column, type_=narrowed)
        batch.create_check_constraint(op.f("ck_record_status"), sa.text(allowed))


def _unframe_curves() -> None:
    """Pack framed curves anew, a thousand at a time."""
    record = sa.table("record", sa.column("seq"), sa.column("shape_seq"), sa.column("curve", sa.LargeBinary()))
    shape = sa.table("shape", sa.column("seq"), sa.column("document", sa.JSON()))
    framed = sa.func.substr(record.c.curve, 1, len(FRAMED), type_=sa.LargeBinary()) == FRAMED
    connection, last = op.get_bind(), 0
    names = {row.seq: row.document["curve"] for row in connection.execute(sa.select(shape))}
    one = record.c.seq == sa.bindparam("one")
    while rows := connection.execute(
        sa.select(record).where(record.c.seq > last, framed).order_by(record.c.seq).limit(IN_CHUNK)
    ).all():
        curves = [list(unpack_curve(row.curve, names[row.shape_seq]).values()) for row in rows]
        packed = [{"one": row.seq, "packed": pack_unframed(curve)} for row, curve in zip(rows, curves, strict=True)]
        connection.execute(sa.update(record).where(one).values(curve=sa.bindparam("packed")), packed)
        last = rows[-1].seq
