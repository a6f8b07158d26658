"""The statements of the queue, each named and described. `services.queue` says when they run.

Every statement that writes to a trial repeats the fence: the trial still runs under the pack that speaks for it. Locks
are taken in one order everywhere, so that no two transactions wait for each other: pack, trials by id, sweeps by id.
"""

from sqlalchemy import text

# The distinct kinds of worker that trials wait for, hopping from one to the next along the queue's index.
KINDS = text("""
    WITH RECURSIVE kinds AS (
        (SELECT cpu, gpu FROM trials WHERE state = 'queued' ORDER BY cpu, gpu LIMIT 1)
        UNION ALL
        SELECT further.cpu, further.gpu FROM kinds CROSS JOIN LATERAL (
            SELECT cpu, gpu FROM trials
            WHERE state = 'queued' AND (cpu, gpu) > (kinds.cpu, kinds.gpu)
            ORDER BY cpu, gpu LIMIT 1
        ) AS further
    )
    SELECT cpu, gpu FROM kinds
""")

# The trial at the head of the queue for workers of a kind. Its lock keeps other dispatchers off it until the claim.
HEAD = text("""
    SELECT pack_key, pack_limit, config
    FROM (
        SELECT pack_key, pack_limit, group_id FROM trials
        WHERE state = 'queued' AND cpu = :cpu AND gpu = :gpu AND run_after <= now()
        ORDER BY priority DESC, run_after, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS head
    JOIN groups ON groups.id = head.group_id
""")

# How many trials wait for such workers or run on them, counted no further than matters for the size of a pack.
OPEN = text("""
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM trials
            WHERE state = 'queued' AND cpu = :cpu AND gpu = :gpu AND run_after <= now()
            LIMIT :enough
        ) AS waiting)
        + (SELECT count(*) FROM (
            SELECT FROM trials WHERE pack_id IS NOT NULL AND cpu = :cpu AND gpu = :gpu LIMIT :enough
        ) AS running)
""")

# A pack, and its trials running under it, in one statement.
CLAIM = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id, started_at IS NOT NULL AS is_retry FROM trials
        WHERE state = 'queued' AND pack_key = :pack_key AND run_after <= now()
            AND (pack_limit IS NULL OR pack_limit >= :size)
        ORDER BY priority DESC, run_after, id
        LIMIT :size
        FOR UPDATE SKIP LOCKED
    ), pack AS (
        INSERT INTO packs (dispatcher, pack_key, size, lease_until)
        SELECT :dispatcher, :pack_key, count(*), now() + :ttl FROM chosen
        RETURNING id
    )
    UPDATE trials
    SET state = 'running', pack_id = pack.id, attempts = attempts + 1, reason = NULL, error = NULL,
        started_at = coalesce(started_at, now())
    FROM chosen, pack
    WHERE trials.id = chosen.id
    RETURNING trials.id, trials.pack_id, trials.sweep_id, trials.group_id, trials.seed, chosen.is_retry
""")

HEARTBEAT = text("""
    UPDATE packs SET lease_until = now() + :ttl
    WHERE id = ANY(:packs) AND state = 'running' AND dispatcher = :dispatcher
    RETURNING id
""")

ADVANCE = text("""
    UPDATE packs SET next_seq = next_seq + 1, model_steps = model_steps + :model_steps
    WHERE id = :pack AND state = 'running' AND next_seq = :seq
    RETURNING id
""")

# The trials that the pack still holds, locked until the chunk is recorded.
HELD = text("""
    SELECT id, attempts, max_attempts, crashes_alone FROM trials
    WHERE pack_id = :pack AND state = 'running'
    ORDER BY id
    FOR NO KEY UPDATE
""")

SUCCEED = text("""
    WITH outcome AS (
        SELECT * FROM unnest(:ids ::bigint[], :reasons ::text[]) AS t(id, reason)
    )
    UPDATE trials
    SET state = 'succeeded', reason = outcome.reason, pack_id = NULL, finished_at = now()
    FROM outcome
    WHERE trials.id = outcome.id AND trials.pack_id = :pack AND trials.state = 'running'
""")

SUMMARISE = text("""
    INSERT INTO trial_summaries
        (trial_id, steps, diverged_at_step, trace_points, train_loss, train_accuracy, test_loss, test_accuracy,
         weight_alignment, weight_alignment_scaled, gradient_alignment, gradient_alignment_published,
         generalisation_error)
    SELECT outcome.id, outcome.steps, outcome.diverged_at_step, points.n, train_loss, train_accuracy, test_loss,
        test_accuracy, weight_alignment, weight_alignment_scaled, gradient_alignment, gradient_alignment_published,
        generalisation_error
    FROM unnest(:ids ::bigint[], :steps ::bigint[], :diverged ::bigint[]) AS outcome(id, steps, diverged_at_step)
    CROSS JOIN LATERAL (SELECT count(*) AS n FROM metrics WHERE trial_id = outcome.id) AS points
    LEFT JOIN LATERAL (
        SELECT * FROM metrics WHERE trial_id = outcome.id ORDER BY step DESC LIMIT 1
    ) AS final ON true
""")

SUMMARISE_LAYERS = text("""
    INSERT INTO layer_summaries
        (trial_id, layer, step, weight_alignment, gradient_alignment, weight_gradient_alignment, delta_norm_ratio,
         weight_norm, update_norm, delta_effective_rank, alignment_condition, alignment_identity)
    SELECT trial_id, layer, step, weight_alignment, gradient_alignment, weight_gradient_alignment, delta_norm_ratio,
        weight_norm, update_norm, delta_effective_rank, alignment_condition, alignment_identity
    FROM unnest(:ids ::bigint[]) AS outcome(id)
    CROSS JOIN LATERAL (
        SELECT * FROM traces
        WHERE trial_id = outcome.id AND step = (SELECT max(step) FROM traces WHERE trial_id = outcome.id)
    ) AS final
""")

RECORD_SNAPSHOTS = text("""
    INSERT INTO snapshots (trial_id, step, sha256, bytes)
    SELECT * FROM unnest(:trials ::bigint[], :steps ::bigint[], :hashes ::text[], :sizes ::bigint[])
    ON CONFLICT DO NOTHING
""")

# Finished trials that kept snapshots are compared with their group later.
DEMAND_COMPARISONS = text("""
    INSERT INTO comparisons_due (trial_id)
    SELECT id FROM unnest(:ids ::bigint[]) AS outcome(id)
    WHERE EXISTS (SELECT FROM snapshots WHERE trial_id = outcome.id)
""")

FAIL = text("""
    UPDATE trials
    SET state = 'failed', reason = :reason, error = :error, pack_id = NULL, finished_at = now(),
        crashes_alone = :crashes_alone
    WHERE id = :id AND pack_id = :pack AND state = 'running'
""")

REQUEUE = text("""
    UPDATE trials
    SET state = 'queued', reason = :reason, error = :error, pack_id = NULL,
        attempts = attempts - CASE WHEN :charged THEN 0 ELSE 1 END,
        pack_limit = least(pack_limit, :pack_limit), crashes_alone = :crashes_alone,
        run_after = CASE WHEN :delay > interval '0' THEN now() + :delay * (1 + random() / 4) ELSE run_after END
    WHERE id = :id AND pack_id = :pack AND state = 'running'
""")

END_ATTEMPTS = text("""
    UPDATE attempts SET reason = outcome.reason, error = outcome.error, finished_at = now()
    FROM unnest(:ids ::bigint[], :reasons ::text[], :errors ::text[]) AS outcome(id, reason, error)
    WHERE attempts.trial_id = outcome.id AND attempts.pack_id = :pack
""")

RECORD_EVENTS = text("""
    INSERT INTO events (sweep_id, trial_id, pack_id, kind, detail)
    SELECT trials.sweep_id, trials.id, :pack, event.kind, event.detail ::jsonb
    FROM unnest(:ids ::bigint[], :kinds ::text[], :details ::text[]) AS event(id, kind, detail)
    JOIN trials ON trials.id = event.id
""")

END_PACK = text("""
    UPDATE packs SET state = :state, finished_at = now()
    WHERE id = :pack AND state = 'running'
    RETURNING size
""")

# Expired leases, their trials and their attempts, at once: nothing is chosen first and written later.
RESCUE = text("""
    WITH lost AS (
        UPDATE packs SET state = 'lost', finished_at = now()
        WHERE state = 'running' AND lease_until < now()
        RETURNING id
    ), held AS MATERIALIZED (
        SELECT id, pack_id FROM trials
        WHERE pack_id IN (SELECT id FROM lost) AND state = 'running'
        ORDER BY id
        FOR NO KEY UPDATE
    ), requeued AS (
        UPDATE trials
        SET state = 'queued', reason = 'lease_expired', pack_id = NULL, attempts = attempts - 1
        FROM held
        WHERE trials.id = held.id
        RETURNING trials.id, trials.sweep_id, held.pack_id
    ), ended AS (
        UPDATE attempts SET reason = 'lease_expired', finished_at = now()
        FROM requeued WHERE attempts.trial_id = requeued.id AND attempts.pack_id = requeued.pack_id
    ), told AS (
        INSERT INTO events (sweep_id, trial_id, pack_id, kind, detail)
        SELECT sweep_id, id, pack_id, 'trial.requeued', '{"reason": "lease_expired"}' FROM requeued
    )
    SELECT id, pack_id FROM requeued
""")

# Sweeps without a trial left to train are over. Their rows are locked first: of two packs that finish the last trials
# at the same time, the later one sees what the earlier one wrote.
LOCK_SWEEPS = text("""
    SELECT id FROM sweeps
    WHERE id IN (SELECT sweep_id FROM trials WHERE id = ANY(:trials)) AND state IN ('queued', 'running', 'paused')
    ORDER BY id FOR NO KEY UPDATE
""")

CLOSE_SWEEPS = text("""
    WITH counted AS (
        SELECT sweep.id, over.succeeded, over.total FROM unnest(:sweeps ::bigint[]) AS sweep(id)
        CROSS JOIN LATERAL (
            SELECT count(*) AS total, count(*) FILTER (WHERE state = 'succeeded') AS succeeded
            FROM trials WHERE sweep_id = sweep.id
        ) AS over
        WHERE NOT EXISTS (SELECT FROM trials WHERE sweep_id = sweep.id AND state IN ('queued', 'running'))
    ), closed AS (
        UPDATE sweeps
        SET finished_at = now(),
            state = CASE succeeded WHEN total THEN 'succeeded' WHEN 0 THEN 'failed' ELSE 'partial' END
        FROM counted WHERE sweeps.id = counted.id
        RETURNING sweeps.id, sweeps.state
    )
    INSERT INTO events (sweep_id, kind) SELECT id, 'sweep.' || state FROM closed
""")
