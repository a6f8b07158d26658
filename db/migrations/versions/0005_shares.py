"""Whose the trials of a pack are; comparisons go on where they were; the doctor sees more."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("packs", sa.Column("owners", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("packs", sa.Column("shares", postgresql.ARRAY(sa.BigInteger()), nullable=True))
    op.execute(
        "UPDATE packs SET owners = ARRAY[(SELECT owner FROM sweeps WHERE id = sweep_id)], shares = ARRAY[size::bigint]"
    )
    op.alter_column("packs", "owners", nullable=False)
    op.alter_column("packs", "shares", nullable=False)
    op.add_column("comparisons_due", sa.Column("after_step", sa.BigInteger(), server_default="-1", nullable=False))
    run_sql("0005/doctor.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
