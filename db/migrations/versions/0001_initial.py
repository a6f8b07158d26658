"""The first schema: tables, views, and the reader's rights."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrate import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "metrics",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Double(), nullable=False),
        sa.Column("train_loss", sa.Double(), nullable=True),
        sa.Column("train_accuracy", sa.Double(), nullable=True),
        sa.Column("test_loss", sa.Double(), nullable=True),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("weight_alignment", sa.Double(), nullable=True),
        sa.Column("gradient_alignment", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("trial_id", "step", name=op.f("pk_metrics")),
    )
    op.create_table(
        "packs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dispatcher", sa.Text(), nullable=False),
        sa.Column("pack_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("model_steps", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'finished', 'released', 'lost')", name=op.f("ck_packs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packs")),
    )
    op.create_index(
        "ix_packs_lease", "packs", ["lease_until"], unique=False, postgresql_where=sa.text("state = 'running'")
    )
    op.create_table(
        "sweeps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trial_count", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'paused', 'succeeded', 'partial', 'failed', 'cancelled')",
            name=op.f("ck_sweeps_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_sweeps_idempotency_key")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_table(
        "traces",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("layer", sa.BigInteger(), nullable=False),
        sa.Column("weight_alignment", sa.Double(), nullable=True),
        sa.Column("gradient_alignment", sa.Double(), nullable=True),
        sa.Column("weight_gradient_alignment", sa.Double(), nullable=True),
        sa.Column("delta_norm_ratio", sa.Double(), nullable=True),
        sa.Column("weight_norm", sa.Double(), nullable=True),
        sa.Column("update_norm", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("trial_id", "step", "layer", name=op.f("pk_traces")),
    )
    op.create_table(
        "workers",
        sa.Column("dispatcher", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("gpu", sa.Double(), nullable=False),
        sa.Column("pack_id", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("dispatcher", "name", name=op.f("pk_workers")),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sweep_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("group_hash", sa.Text(), nullable=False),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("varied", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_groups_sweep_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("sweep_id", "group_hash", name=op.f("uq_groups_sweep_id_group_hash")),
        sa.UniqueConstraint("sweep_id", "position", name=op.f("uq_groups_sweep_id_position")),
    )
    op.create_table(
        "group_params",
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_group_params_group_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "name", name=op.f("pk_group_params")),
    )
    op.create_index(op.f("ix_group_params_name_number"), "group_params", ["name", "number"], unique=False)
    op.create_index(op.f("ix_group_params_name_text"), "group_params", ["name", "text"], unique=False)
    op.create_table(
        "trials",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sweep_id", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("pack_key", sa.Text(), nullable=False),
        sa.Column("pack_limit", sa.BigInteger(), nullable=True),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("gpu", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("crashes_alone", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.BigInteger(), nullable=False),
        sa.Column("pack_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'running') = (pack_id IS NOT NULL)", name=op.f("ck_trials_running_has_pack")),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_trials_terminal"),
        ),
        sa.CheckConstraint(
            "reason IN ('completed', 'diverged', 'user_error', 'out_of_memory', 'worker_lost', 'lease_expired', 'released', 'poison', 'unknown_error', 'cancelled_by_user')",
            name=op.f("ck_trials_reason"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_trials_state")
        ),
        sa.CheckConstraint("attempts <= max_attempts", name=op.f("ck_trials_attempts")),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_trials_group_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"], name=op.f("fk_trials_pack_id")),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_trials_sweep_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trials")),
        sa.UniqueConstraint("sweep_id", "config_hash", name=op.f("uq_trials_sweep_id_config_hash")),
        sa.UniqueConstraint("sweep_id", "position", name=op.f("uq_trials_sweep_id_position")),
    )
    op.create_index("ix_trials_group_id", "trials", ["group_id"], unique=False)
    op.create_index(
        "ix_trials_pack_id", "trials", ["pack_id"], unique=False, postgresql_where=sa.text("pack_id IS NOT NULL")
    )
    op.create_index(
        "ix_trials_queue",
        "trials",
        ["cpu", "gpu", sa.literal_column("priority DESC"), "run_after", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_trials_queue_of_pack_key",
        "trials",
        ["pack_key", sa.literal_column("priority DESC"), "run_after", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_trials_sweep_id_state", "trials", ["sweep_id", "state"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("pack_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "reason IN ('completed', 'diverged', 'user_error', 'out_of_memory', 'worker_lost', 'lease_expired', 'released', 'poison', 'unknown_error', 'cancelled_by_user')",
            name=op.f("ck_attempts_reason"),
        ),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"], name=op.f("fk_attempts_pack_id")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_attempts_trial_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trial_id", "pack_id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_pack_id", "attempts", ["pack_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sweep_id", sa.BigInteger(), nullable=True),
        sa.Column("trial_id", sa.BigInteger(), nullable=True),
        sa.Column("pack_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("fk_events_sweep_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_events_trial_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_sweep_id_id"), "events", ["sweep_id", "id"], unique=False)
    op.create_index(op.f("ix_events_trial_id_id"), "events", ["trial_id", "id"], unique=False)
    op.create_table(
        "layer_summaries",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("layer", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("weight_alignment", sa.Double(), nullable=True),
        sa.Column("gradient_alignment", sa.Double(), nullable=True),
        sa.Column("weight_gradient_alignment", sa.Double(), nullable=True),
        sa.Column("delta_norm_ratio", sa.Double(), nullable=True),
        sa.Column("weight_norm", sa.Double(), nullable=True),
        sa.Column("update_norm", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name=op.f("fk_layer_summaries_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "layer", name=op.f("pk_layer_summaries")),
    )
    op.create_table(
        "trial_summaries",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("diverged_at_step", sa.BigInteger(), nullable=True),
        sa.Column("trace_points", sa.BigInteger(), nullable=False),
        sa.Column("train_loss", sa.Double(), nullable=True),
        sa.Column("train_accuracy", sa.Double(), nullable=True),
        sa.Column("test_loss", sa.Double(), nullable=True),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("weight_alignment", sa.Double(), nullable=True),
        sa.Column("gradient_alignment", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name=op.f("fk_trial_summaries_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_trial_summaries")),
    )
    run_sql("0001/functions.sql", "0001/views.sql", "0001/reader.sql")


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first revision")
