"""Fair share and limits per sweep, checkpoints, dispatchers, the canary, ends that are final, and the doctor."""

import sqlalchemy as sa
from alembic import op

from db.migrate import run_sql

revision = "0003"
down_revision = "0002"

_REASONS = (
    "reason IN ('completed', 'diverged', 'user_error', 'out_of_memory', 'worker_lost', 'node_lost', 'lease_expired', "
    "'released', 'timeout', 'poison', 'unknown_error', 'cancelled_by_user')"
)


def upgrade() -> None:
    _queue_by_sweep()
    for table in ("trials", "attempts"):
        op.drop_constraint(op.f(f"ck_{table}_reason"), table)
        op.create_check_constraint(op.f(f"ck_{table}_reason"), table, _REASONS)
    op.add_column("packs", sa.Column("sweep_id", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE packs SET sweep_id = coalesce((SELECT min(sweep_id) FROM trials JOIN attempts ON trial_id = trials.id WHERE attempts.pack_id = packs.id), 0)"
    )
    op.alter_column("packs", "sweep_id", nullable=False)
    op.add_column("packs", sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("packs", sa.Column("fenced", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("packs", sa.Column("reason", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_packs_reason"), "packs", _REASONS)
    op.create_table(
        "checkpoints",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_checkpoints_trial_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "sweep_errors",
        sa.Column("sweep_id", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("trials", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_sweep_errors_sweep_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sweep_id", "error", name=op.f("pk_sweep_errors")),
    )
    op.create_table(
        "dispatchers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("packs", sa.BigInteger(), nullable=False),
        sa.Column("ttl_seconds", sa.Double(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dispatchers")),
    )
    run_sql("0003/triggers.sql", "0003/views.sql")


def downgrade() -> None:
    raise NotImplementedError("revisions go forward only")


def _queue_by_sweep() -> None:
    """What a claim goes by moves from each trial to its sweep."""
    op.add_column("sweeps", sa.Column("pause_reason", sa.Text(), nullable=True))
    op.add_column("sweeps", sa.Column("max_running", sa.BigInteger(), nullable=True))
    op.add_column("sweeps", sa.Column("trial_seconds", sa.Double(), nullable=True))
    op.add_column("sweeps", sa.Column("identical_errors", sa.BigInteger(), nullable=True))
    for name, default in (("cpu", 1), ("gpu", 0)):
        op.add_column("sweeps", sa.Column(name, sa.Double(), nullable=True))
        op.execute(
            f"UPDATE sweeps SET {name} = coalesce((spec #>> '{{resources,{name}}}')::double precision, {default})"
        )
        op.alter_column("sweeps", name, nullable=False)
    op.create_index(
        "ix_sweeps_open", "sweeps", ["id"], postgresql_where=sa.text("state IN ('queued', 'running', 'paused')")
    )
    op.drop_index("ix_trials_queue", "trials")
    op.drop_index("ix_trials_queue_of_pack_key", "trials")
    for column in ("cpu", "gpu", "priority"):
        op.drop_column("trials", column)
    queued = sa.text("state = 'queued'")
    op.create_index("ix_trials_queue", "trials", ["sweep_id", "run_after", "id"], postgresql_where=queued)
    op.create_index(
        "ix_trials_queue_of_pack_key", "trials", ["sweep_id", "pack_key", "run_after", "id"], postgresql_where=queued
    )
