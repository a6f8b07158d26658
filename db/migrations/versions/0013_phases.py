"""Phases of training, kept: when layers align, when the loss falls."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    _table(
        "trial_phases",
        sa.Column("loss_halved_at_step", sa.BigInteger()),
        sa.Column("loss_half_step", sa.Double()),
        sa.Column("sequential", sa.Boolean()),
    )
    _table(
        "layer_phases",
        sa.Column("gradient_alignment_max", sa.Double(), nullable=False),
        sa.Column("alignment_max_step", sa.BigInteger(), nullable=False),
        sa.Column("aligned_at_step", sa.BigInteger()),
        sa.Column("alignment_half_step", sa.Double()),
        sa.Column("alignment_most_step", sa.Double()),
        sa.Column("gradient_alignment_final", sa.Double(), nullable=False),
        sa.Column("alignment_decline", sa.Double(), nullable=False),
        sa.Column("declines", sa.Boolean()),
        sa.Column("aligns_first", sa.Boolean()),
        keys=("trial_id", "layer"),
    )
    _table("phases_due")
    run_sql("0013/phases.sql", "0013/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")


def _table(name: str, *columns: sa.Column[object], keys: tuple[str, ...] = ("trial_id",)) -> None:
    """Of trials, or their layers."""
    op.create_table(
        name,
        *(sa.Column(key, sa.BigInteger(), nullable=False) for key in keys),
        *columns,
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f(f"fk_{name}_trial_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*keys, name=op.f(f"pk_{name}")),
    )
