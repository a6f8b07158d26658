-- One row per sweep. `pause_reason` says why a paused one is.
CREATE OR REPLACE VIEW v_sweeps AS
SELECT
    id AS sweep_id, name, owner, state, priority, trial_count, created_at, started_at, finished_at, spec,
    pause_reason, cpu, gpu, max_running, trial_seconds, identical_errors
FROM sweeps;

-- What happened, in order.
CREATE VIEW v_events AS
SELECT id AS event_id, at, sweep_id, trial_id, pack_id, kind, detail FROM events;

-- One row per try at a trial: where it ran and how it ended.
CREATE VIEW v_attempts AS
SELECT
    trials.sweep_id, attempts.trial_id, attempts.pack_id, attempts.reason, attempts.error, attempts.provenance,
    attempts.started_at, attempts.finished_at
FROM attempts JOIN trials ON trials.id = attempts.trial_id;

-- Trials of a sweep that failed alike.
CREATE VIEW v_errors AS
SELECT sweep_id, error, trials, last_at FROM sweep_errors;

-- The invariants of the queue, each with the number of violations (0 when all is well) and the id of one.
CREATE VIEW v_doctor AS
SELECT 'ends_once' AS invariant,
    'every end of a trial is one event: as many as there are retries, and one more when it is over' AS meaning,
    count(*) AS violations, min(id) AS example
FROM trials
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE kind IN ('trial.succeeded', 'trial.failed', 'trial.cancelled')) AS ends,
        count(*) FILTER (WHERE kind = 'trial.retried') AS retries
    FROM events WHERE trial_id = trials.id
) AS told
WHERE told.ends <> told.retries + (trials.state IN ('succeeded', 'failed', 'cancelled'))::int
UNION ALL
SELECT 'success_is_whole', 'a completed trial has a summary, and one row per layer at each of its trace points',
    count(*), min(trials.id)
FROM trials
LEFT JOIN trial_summaries AS summary ON summary.trial_id = trials.id
LEFT JOIN LATERAL (
    SELECT count(*) AS points, max(step) AS last_step FROM metrics WHERE trial_id = trials.id
) AS measured ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS rows, count(DISTINCT step) AS points, count(DISTINCT layer) AS layers
    FROM traces WHERE trial_id = trials.id
) AS traced ON true
WHERE trials.state = 'succeeded'
    AND (
        summary.trial_id IS NULL
        OR summary.trace_points <> measured.points
        OR traced.points <> measured.points
        OR traced.rows <> traced.points * traced.layers
        OR trials.reason = 'completed' AND measured.last_step IS DISTINCT FROM summary.steps
    )
UNION ALL
SELECT 'only_the_started_are_measured', 'no trial has measurements that was never claimed', count(*), min(trials.id)
FROM trials
WHERE trials.started_at IS NULL AND EXISTS (SELECT FROM metrics WHERE trial_id = trials.id)
UNION ALL
SELECT 'running_under_a_lease', 'what runs, runs under a pack whose lease has not long expired', count(*), min(trials.id)
FROM trials LEFT JOIN packs ON packs.id = trials.pack_id
WHERE trials.state = 'running' AND (packs.state IS DISTINCT FROM 'running' OR packs.lease_until < now() - interval '30 s')
UNION ALL
SELECT 'attempts_end', 'the attempts of a trial that does not run have all ended', count(*), min(trials.id)
FROM trials JOIN attempts ON attempts.trial_id = trials.id
WHERE attempts.finished_at IS NULL AND attempts.pack_id IS DISTINCT FROM trials.pack_id
UNION ALL
SELECT 'attempts_within_bounds', 'no trial was charged more attempts than it may have', count(*), min(id)
FROM trials WHERE attempts > max_attempts OR attempts < 0
UNION ALL
SELECT 'all_trials_are_there', 'a sweep has as many trials as were submitted', count(*), min(sweeps.id)
FROM sweeps
WHERE sweeps.trial_count <> (SELECT count(*) FROM trials WHERE sweep_id = sweeps.id)
UNION ALL
SELECT 'sweeps_end_with_their_trials', 'a sweep is over when, and only when, all its trials are', count(*), min(sweeps.id)
FROM sweeps
WHERE (sweeps.state IN ('queued', 'running', 'paused'))
    <> EXISTS (SELECT FROM trials WHERE sweep_id = sweeps.id AND state IN ('queued', 'running'));

GRANT SELECT ON v_events, v_attempts, v_errors, v_doctor TO alignsweep_reader;
