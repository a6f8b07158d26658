"""How far weights are from the form of weak weight alignment."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for table in ("traces", "layer_summaries"):
        op.add_column(table, sa.Column("alignment_residual", sa.Double(), nullable=True))
    run_sql("0012/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
