"""The statements of the queue, each named and described. `services.queue` says when they run.

Every statement that writes to a trial repeats the fence: the trial still runs under the pack that speaks for it. Locks
are taken in one order, so that transactions do not wait for each other: pack, trials by id, sweeps by id.
"""

from sqlalchemy import text

# Sweeps that run as many trials as they may have no turn.
_HAS_ROOM = """
    (max_running IS NULL OR max_running > (
        SELECT count(*) FROM trials WHERE sweep_id = sweeps.id AND trials.state = 'running'
    ))
"""

_WAITING = f"""
        SELECT cpu, gpu, sum(due.trials) AS trials, sum(trial_count) AS total FROM sweeps
        CROSS JOIN LATERAL (
            SELECT count(*) AS trials FROM (
                SELECT FROM trials WHERE sweep_id = sweeps.id AND trials.state = 'queued' AND run_after <= now()
                ORDER BY run_after, id
                LIMIT :{{enough}}
            ) AS first
        ) AS due
        WHERE {{which}} AND state IN ('queued', 'running') AND due.trials > 0 AND {_HAS_ROOM}
        GROUP BY cpu, gpu
"""

# The kinds of worker that trials wait for, each with how many trials wait or run there, counted no further than matters
# for the size of a pack, and how many the sweeps that wait have in all. Here and below an ORDER BY keeps the planner on
# the queue's index, whatever it believes of the table: of a sweep just submitted all trials wait.
WAITING = text(f"""
    WITH waiting AS (
        {_WAITING.format(which="gpu = 0", enough="enough")} UNION ALL
        {_WAITING.format(which="gpu > 0", enough="enough_on_gpus")}
    ), running AS (
        SELECT cpu, gpu, sum(size) AS trials FROM packs JOIN sweeps ON sweeps.id = packs.sweep_id
        WHERE packs.state = 'running'
        GROUP BY cpu, gpu
    )
    SELECT cpu, gpu, (waiting.trials + coalesce(running.trials, 0)) ::bigint AS unfinished, total ::bigint
    FROM waiting LEFT JOIN running USING (cpu, gpu)
    ORDER BY cpu, gpu
""")

# How many trials run for each owner, by what each had in the packs that run. Packs mix owners.
_LOADS = """
    loads AS (
        SELECT part.owner, sum(part.trials) AS trials
        FROM packs CROSS JOIN unnest(owners, shares) AS part(owner, trials)
        WHERE packs.state = 'running'
        GROUP BY part.owner
    )
"""
_LOAD = "(SELECT coalesce(sum(trials), 0) FROM loads WHERE loads.owner IS NOT DISTINCT FROM sweeps.owner)"

# Whose turn it is among the sweeps for a kind of worker, and the first trial that waits there: the highest priority,
# then the owner with the least running, then the oldest sweep. The lock keeps other dispatchers off until the claim.
HEAD = text(f"""
    WITH {_LOADS}
    SELECT turn.id AS sweep_id, turn.owner, turn.max_running, head.pack_key, head.pack_limit, head.group_id
    FROM (
        SELECT id, owner, max_running FROM sweeps
        WHERE state IN ('queued', 'running') AND cpu = :cpu AND gpu = :gpu AND id <> ALL(:full) AND {_HAS_ROOM}
        ORDER BY priority DESC, {_LOAD}, id
    ) AS turn
    CROSS JOIN LATERAL (
        SELECT pack_key, pack_limit, group_id FROM trials
        WHERE sweep_id = turn.id AND state = 'queued' AND run_after <= now()
        ORDER BY run_after, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS head
    LIMIT 1
""")

CONFIGS = text("SELECT id, config ::text FROM groups WHERE id = ANY(:groups)")

# How many more trials a limited sweep may run. Its row stays locked until the claim, so that two never pass together.
ROOM = text("""
    SELECT max_running - (SELECT count(*) FROM trials WHERE sweep_id = sweeps.id AND state = 'running')
    FROM sweeps WHERE id = :sweep
""")
LOCK_SWEEP = text("SELECT FROM sweeps WHERE id = :sweep FOR NO KEY UPDATE")

# A pack, and its trials running under it, in one statement: those of the sweep whose turn it is, then those of the
# same shape in sweeps that have no limit of their own, its owner's first, the others' as their turns would come.
CLAIM = text(f"""
    WITH {_LOADS}, chosen AS MATERIALIZED (
        SELECT waiting.id, waiting.is_retry, turn.owner
        FROM (
            SELECT id, owner FROM sweeps
            WHERE state IN ('queued', 'running') AND cpu = :cpu AND gpu = :gpu AND (id = :sweep OR max_running IS NULL)
            ORDER BY id <> :sweep, owner IS DISTINCT FROM :owner ::text, priority DESC, {_LOAD}, id
        ) AS turn
        CROSS JOIN LATERAL (
            SELECT id, started_at IS NOT NULL AS is_retry FROM trials
            WHERE sweep_id = turn.id AND pack_key = :pack_key AND state = 'queued' AND run_after <= now()
                AND (pack_limit IS NULL OR pack_limit >= :size)
            ORDER BY run_after, id
            LIMIT :size
            FOR UPDATE SKIP LOCKED
        ) AS waiting
        LIMIT :size
    ), pack AS (
        INSERT INTO packs (dispatcher, sweep_id, pack_key, size, owners, shares, lease_until)
        SELECT :dispatcher, :sweep, :pack_key, sum(n), array_agg(owner), array_agg(n), now() + :ttl
        FROM (SELECT owner, count(*) AS n FROM chosen GROUP BY owner) AS part
        HAVING count(*) > 0
        RETURNING id
    ), claimed AS (
        UPDATE trials
        SET state = 'running', pack_id = pack.id, attempts = attempts + 1, reason = NULL, error = NULL,
            started_at = coalesce(started_at, now())
        FROM chosen, pack
        WHERE trials.id = chosen.id
        RETURNING trials.id, trials.pack_id, trials.sweep_id, trials.group_id, trials.seed, chosen.is_retry
    ), begun AS (
        INSERT INTO attempts (trial_id, pack_id) SELECT id, pack_id FROM claimed
    ), told AS (
        INSERT INTO events (sweep_id, trial_id, pack_id, kind)
        SELECT sweep_id, id, pack_id, 'trial.claimed' FROM claimed
    ), started AS (
        UPDATE sweeps SET state = 'running', started_at = now()
        WHERE id IN (SELECT sweep_id FROM claimed) AND state = 'queued'
    )
    SELECT * FROM claimed ORDER BY id
""")

# Where trials can go on; and those that never will.
CHECKPOINTS = text("SELECT trial_id, step, sha256 FROM checkpoints WHERE trial_id = ANY(:ids)")

# The newest state of each trial, given its step in increasing order.
RECORD_CHECKPOINTS = text("""
    INSERT INTO checkpoints (trial_id, step, sha256)
    SELECT * FROM unnest(:trials ::bigint[], :steps ::bigint[], :hashes ::text[])
    ON CONFLICT (trial_id) DO UPDATE SET step = excluded.step, sha256 = excluded.sha256, recorded_at = now()
""")

FORGET_CHECKPOINTS = text("DELETE FROM checkpoints WHERE trial_id = ANY(:ids)")
CLEAR_CHECKPOINTS = text("""
    DELETE FROM checkpoints USING trials
    WHERE trials.id = trial_id AND trials.state IN ('succeeded', 'cancelled')
    RETURNING sha256
""")

# Trials whose sweep was paused meanwhile.
PAUSED = text("""
    SELECT trials.id FROM trials JOIN sweeps ON sweeps.id = sweep_id
    WHERE trials.id = ANY(:ids) AND sweeps.state = 'paused'
""")

# Packs of a dispatcher that train for a paused sweep.
PACKS_OF_PAUSED = text("""
    SELECT DISTINCT pack_id FROM trials
    WHERE pack_id = ANY(:packs) AND sweep_id IN (SELECT id FROM sweeps WHERE state = 'paused')
""")

# Trials that have run for longer than their sweep allows, and their packs.
_LATE = """
    FROM packs JOIN trials ON trials.pack_id = packs.id JOIN sweeps ON sweeps.id = trials.sweep_id
    WHERE packs.state = 'running' AND claimed_at + trial_seconds * interval '1 s' < now()
"""
OVERDUE_PACKS = text(f"SELECT DISTINCT packs.id {_LATE} ORDER BY packs.id")
OVERDUE = text(f"SELECT trials.id {_LATE} AND packs.id = :pack ORDER BY trials.id")
LOCK_PACK = text("SELECT FROM packs WHERE id = :pack FOR NO KEY UPDATE")

HEARTBEAT = text("""
    UPDATE packs SET lease_until = now() + :ttl
    WHERE id = ANY(:packs) AND state = 'running' AND dispatcher = :dispatcher
    RETURNING id
""")

ADVANCE = text("""
    UPDATE packs SET next_seq = next_seq + 1, model_steps = model_steps + :model_steps, rows = rows + :rows
    WHERE id = :pack AND state = 'running' AND next_seq = :seq
    RETURNING id
""")

FENCE = text("UPDATE packs SET fenced = fenced + 1 WHERE id = :pack AND state <> 'running'")

# The trials that the pack still holds, locked until the chunk is recorded.
HELD = text("""
    SELECT id, sweep_id, attempts, max_attempts, crashes_alone FROM trials
    WHERE pack_id = :pack AND state = 'running'
    ORDER BY id
    FOR NO KEY UPDATE
""")

# Trials that have completed or diverged, their attempts and events.
SUCCEED = text("""
    WITH outcome AS (
        SELECT * FROM unnest(:ids ::bigint[], :reasons ::text[], :steps ::bigint[]) AS t(id, reason, steps)
    ), succeeded AS (
        UPDATE trials
        SET state = 'succeeded', reason = outcome.reason, pack_id = NULL, finished_at = now()
        FROM outcome
        WHERE trials.id = outcome.id AND trials.pack_id = :pack AND trials.state = 'running'
        RETURNING trials.id, trials.sweep_id, outcome.reason, outcome.steps
    ), ended AS (
        UPDATE attempts SET reason = succeeded.reason, finished_at = now()
        FROM succeeded WHERE attempts.trial_id = succeeded.id AND attempts.pack_id = :pack
    )
    INSERT INTO events (sweep_id, trial_id, pack_id, kind, detail)
    SELECT sweep_id, id, :pack, 'trial.succeeded', jsonb_build_object('reason', reason, 'steps', steps) FROM succeeded
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
         weight_norm, update_norm, delta_effective_rank, alignment_condition, alignment_identity,
         alignment_residual)
    SELECT trial_id, layer, step, weight_alignment, gradient_alignment, weight_gradient_alignment, delta_norm_ratio,
        weight_norm, update_norm, delta_effective_rank, alignment_condition, alignment_identity,
        alignment_residual
    FROM unnest(:ids ::bigint[]) AS outcome(id)
    CROSS JOIN LATERAL (
        SELECT * FROM traces
        WHERE trial_id = outcome.id AND step = (SELECT max(step) FROM traces WHERE trial_id = outcome.id)
    ) AS final
""")

# Finished trials that kept snapshots are compared with their group later.
DEMAND_COMPARISONS = text("""
    INSERT INTO comparisons_due (trial_id)
    SELECT id FROM unnest(:ids ::bigint[]) AS outcome(id)
    WHERE EXISTS (SELECT FROM snapshots WHERE trial_id = outcome.id)
""")

RECORD_PROVENANCE = text("""
    UPDATE attempts
    SET provenance = (:provenance ::jsonb) || coalesce(
        (
            SELECT jsonb_build_object('seeds', seeds ::jsonb)
            FROM unnest(:trials ::bigint[], :seeds ::text[]) AS own(trial_id, seeds)
            WHERE own.trial_id = attempts.trial_id
        ),
        '{}'
    )
    WHERE pack_id = :pack
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
    UPDATE packs SET state = :state, reason = :reason, finished_at = now()
    WHERE id = :pack AND state = 'running'
    RETURNING size
""")

# Expired leases, their trials and their attempts, at once: nothing is chosen first and written later.
RESCUE = text("""
    WITH lost AS (
        UPDATE packs SET state = 'lost', reason = 'lease_expired', finished_at = now()
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

# One more trial of a sweep has failed like this; returns how many have.
COUNT_ERROR = text("""
    INSERT INTO sweep_errors (sweep_id, error, trials, example) VALUES (:sweep, :error, 1, :example)
    ON CONFLICT (sweep_id, error)
    DO UPDATE SET trials = sweep_errors.trials + 1, last_at = now(), example = excluded.example
    RETURNING trials
""")

# The canary: a sweep whose trials keep failing alike stops, if anything of it still waits.
PAUSE_FAILING = text("""
    WITH paused AS (
        UPDATE sweeps SET state = 'paused', pause_reason = :why
        WHERE id = :sweep AND state IN ('queued', 'running') AND identical_errors <= :trials
            AND EXISTS (SELECT FROM trials WHERE sweep_id = :sweep AND state = 'queued')
        RETURNING id
    )
    INSERT INTO events (sweep_id, kind, detail)
    SELECT id, 'sweep.paused', jsonb_build_object('reason', :why ::text) FROM paused
    RETURNING sweep_id
""")

# Sweeps are locked before how many of their trials are over is counted: of two packs that finish trials at the same
# time, the later one sees what the earlier one wrote.
LOCK_SWEEPS = text("""
    SELECT FROM sweeps WHERE id IN (SELECT sweep_id FROM trials WHERE id = ANY(:trials)) ORDER BY id FOR NO KEY UPDATE
""")

# These trials have just ended, or wait again: those that ended are counted, and a sweep is over when all have.
CLOSE_SWEEPS = text("""
    WITH ended AS (
        INSERT INTO sweep_ends (sweep_id, succeeded, failed, cancelled, diverged)
        SELECT sweep_id, count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'failed'),
            count(*) FILTER (WHERE state = 'cancelled'),
            count(*) FILTER (WHERE state = 'succeeded' AND reason = 'diverged')
        FROM trials WHERE id = ANY(:trials) AND state IN ('succeeded', 'failed', 'cancelled')
        GROUP BY sweep_id
        ON CONFLICT (sweep_id) DO UPDATE
        SET succeeded = sweep_ends.succeeded + excluded.succeeded, failed = sweep_ends.failed + excluded.failed,
            cancelled = sweep_ends.cancelled + excluded.cancelled, diverged = sweep_ends.diverged + excluded.diverged
        RETURNING sweep_id, succeeded, failed, cancelled
    ), closed AS (
        UPDATE sweeps
        SET finished_at = now(),
            pause_reason = NULL,
            state = CASE
                WHEN succeeded = trial_count THEN 'succeeded'
                WHEN cancelled = trial_count THEN 'cancelled'
                WHEN succeeded = 0 THEN 'failed'
                ELSE 'partial'
            END
        FROM ended
        WHERE sweeps.id = ended.sweep_id AND sweeps.state IN ('queued', 'running', 'paused')
            AND succeeded + failed + cancelled = trial_count
        RETURNING sweeps.id, sweeps.state
    )
    INSERT INTO events (sweep_id, kind) SELECT id, 'sweep.' || state FROM closed
""")

# The same count from the trials themselves, of a sweep that is locked.
COUNT_ENDS = text("""
    INSERT INTO sweep_ends (sweep_id, succeeded, failed, cancelled, diverged)
    SELECT sweep_id, count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'failed'),
        count(*) FILTER (WHERE state = 'cancelled'),
        count(*) FILTER (WHERE state = 'succeeded' AND reason = 'diverged')
    FROM trials WHERE sweep_id = :sweep
    GROUP BY sweep_id
    ON CONFLICT (sweep_id) DO UPDATE
    SET succeeded = excluded.succeeded, failed = excluded.failed, cancelled = excluded.cancelled,
        diverged = excluded.diverged
""")
