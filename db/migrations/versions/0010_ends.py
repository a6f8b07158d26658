"""How many trials of each sweep are over, counted as they end."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "sweep_ends",
        sa.Column("sweep_id", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_sweep_ends_sweep_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("pk_sweep_ends")),
        postgresql_with={"fillfactor": 50},
    )
    run_sql("0010/ends.sql", "0010/doctor.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
