"""Theory beside simulation: what columns mean."""

from db.migrate import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011/comments.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
