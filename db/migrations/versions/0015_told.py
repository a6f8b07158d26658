"""How many trials of each sweep have diverged, counted as they end; and of each kind of error the newest example."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("sweep_ends", sa.Column("diverged", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sweep_errors", sa.Column("example", sa.Text()))
    run_sql("0015/told.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
