"""Sweeps that came as an archive."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("sweep_id", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_imports_sweep_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("pk_imports")),
        sa.UniqueConstraint("content_sha256", name=op.f("uq_imports_content_sha256")),
    )
    run_sql("0008/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
