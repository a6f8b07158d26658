"""Axes and intervals in the views of trials and groups; no scale of feedback where there is none."""

from db.migrate import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql("0014/views.sql", "0014/groups.sql", "0014/comments.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
