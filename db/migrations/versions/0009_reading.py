"""Traces in partitions, curves of finished groups kept, what the reader may run, and comments on all public views."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009/partitions.sql")
    op.add_column("groups", sa.Column("rolled_up", sa.Boolean(), server_default=sa.false(), nullable=False))
    _table(
        "group_curves",
        ("step",),
        ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "gradient_alignment", "weight_alignment"),
        sa.Column("epoch", sa.Double(), nullable=False),
    )
    _table("group_traces", ("step", "layer"), ("gradient_alignment", "weight_alignment"))
    op.create_table(
        "rollups_due",
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_rollups_due_group_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_rollups_due")),
    )
    # The doctor's view is as it was, and now reads all partitions.
    run_sql("0009/rollups.sql", "0009/views.sql", "0005/doctor.sql", "0009/reader.sql", "0009/comments.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")


def _table(name: str, keys: tuple[str, ...], measured: tuple[str, ...], *more: sa.Column[float]) -> None:
    """Means and standard deviations over the trials of a group."""
    op.create_table(
        name,
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        *(sa.Column(key, sa.BigInteger(), nullable=False) for key in keys),
        *more,
        sa.Column("n", sa.BigInteger(), nullable=False),
        *(sa.Column(f"{column}_{kind}", sa.Double()) for column in measured for kind in ("mean", "sd")),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f(f"fk_{name}_group_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", *keys, name=op.f(f"pk_{name}")),
    )
