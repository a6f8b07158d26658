"""Order parameters, snapshots and their comparison, conditioning, effective rank, totals in both conventions."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "order_parameters",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("i", sa.BigInteger(), nullable=False),
        sa.Column("j", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "step", "quantity", "i", "j", name=op.f("pk_order_parameters")),
    )
    op.create_table(
        "snapshots",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "step", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "comparisons_due",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name=op.f("fk_comparisons_due_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_comparisons_due")),
    )
    op.create_table(
        "parameter_cosines",
        sa.Column("trial_a", sa.BigInteger(), nullable=False),
        sa.Column("trial_b", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("layer", sa.BigInteger(), nullable=False),
        sa.Column("cosine", sa.Double(), nullable=True),
        sa.CheckConstraint("trial_a < trial_b", name=op.f("ck_parameter_cosines_ordered")),
        sa.ForeignKeyConstraint(
            ["trial_a"], ["trials.id"], name=op.f("fk_parameter_cosines_trial_a"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["trial_b"], ["trials.id"], name=op.f("fk_parameter_cosines_trial_b"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_a", "trial_b", "step", "layer", name=op.f("pk_parameter_cosines")),
    )
    op.add_column("layer_summaries", sa.Column("delta_effective_rank", sa.Double(), nullable=True))
    op.add_column("layer_summaries", sa.Column("alignment_condition", sa.Double(), nullable=True))
    op.add_column("layer_summaries", sa.Column("alignment_identity", sa.Double(), nullable=True))
    op.add_column("metrics", sa.Column("weight_alignment_scaled", sa.Double(), nullable=True))
    op.add_column("metrics", sa.Column("gradient_alignment_published", sa.Double(), nullable=True))
    op.add_column("metrics", sa.Column("generalisation_error", sa.Double(), nullable=True))
    op.add_column("traces", sa.Column("delta_effective_rank", sa.Double(), nullable=True))
    op.add_column("traces", sa.Column("alignment_condition", sa.Double(), nullable=True))
    op.add_column("traces", sa.Column("alignment_identity", sa.Double(), nullable=True))
    op.add_column("trial_summaries", sa.Column("weight_alignment_scaled", sa.Double(), nullable=True))
    op.add_column("trial_summaries", sa.Column("gradient_alignment_published", sa.Double(), nullable=True))
    op.add_column("trial_summaries", sa.Column("generalisation_error", sa.Double(), nullable=True))
    run_sql("0002/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
