"""Events say who acted, tokens when they were used last; idempotency keys are each owner's own."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0006"
down_revision = "0005"

_ACTOR = sa.text("nullif(current_setting('alignsweep.actor', true), '')")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("events", sa.Column("actor", sa.Text(), server_default=_ACTOR, nullable=True))
    op.drop_constraint(op.f("uq_sweeps_idempotency_key"), "sweeps")
    op.create_index(
        "uq_sweeps_owner_idempotency_key",
        "sweeps",
        ["owner", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    run_sql("0006/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
