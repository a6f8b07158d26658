"""Documents of the store are found by their hash."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = ("snapshots", "checkpoints")


def upgrade() -> None:
    for table in _TABLES:
        op.create_index(f"ix_{table}_sha256", table, ["sha256"])


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")
