-- The invariants of the queue, each with the number of violations (0 when all is well) and the id of one.
CREATE OR REPLACE VIEW v_doctor AS
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
SELECT 'claims_are_events', 'every attempt at a trial began with an event', count(*), min(id)
FROM trials
WHERE (SELECT count(*) FROM events WHERE trial_id = trials.id AND kind = 'trial.claimed')
    <> (SELECT count(*) FROM attempts WHERE trial_id = trials.id)
UNION ALL
SELECT 'success_is_whole',
    'a trial that has succeeded has one row per layer at each of its trace points, and summaries of its last one',
    count(*), min(trials.id)
FROM trials
LEFT JOIN trial_summaries AS summary ON summary.trial_id = trials.id
LEFT JOIN LATERAL (
    SELECT count(*) AS points, max(step) AS last_step FROM metrics WHERE trial_id = trials.id
) AS measured ON true
LEFT JOIN metrics AS last ON last.trial_id = trials.id AND last.step = measured.last_step
LEFT JOIN LATERAL (SELECT count(*) AS layers FROM layer_summaries WHERE trial_id = trials.id) AS summarised ON true
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
        OR summarised.layers <> traced.layers
        OR (last.train_loss, last.test_loss, last.train_accuracy, last.test_accuracy)
            IS DISTINCT FROM (summary.train_loss, summary.test_loss, summary.train_accuracy, summary.test_accuracy)
        OR trials.reason = 'completed' AND measured.last_step IS DISTINCT FROM summary.steps
    )
UNION ALL
SELECT 'only_the_started_are_measured', 'no trial has measurements that was never claimed', count(*), min(trials.id)
FROM trials
WHERE trials.started_at IS NULL AND EXISTS (SELECT FROM metrics WHERE trial_id = trials.id)
UNION ALL
SELECT 'measured_trials_exist', 'all that was measured is of a trial that is there', count(*), min(trial_id)
FROM (SELECT trial_id FROM metrics UNION SELECT trial_id FROM traces) AS measured
WHERE NOT EXISTS (SELECT FROM trials WHERE id = trial_id)
UNION ALL
SELECT 'running_under_a_lease', 'what runs, runs under a pack, and no pack runs long after its lease', count(*), min(id)
FROM (
    SELECT trials.id FROM trials LEFT JOIN packs ON packs.id = trials.pack_id
    WHERE trials.state = 'running' AND packs.state IS DISTINCT FROM 'running'
    UNION ALL
    SELECT id FROM packs
    WHERE state = 'running'
        AND lease_until + (
            SELECT 2 * coalesce(max(ttl_seconds), 30) + 5 FROM dispatchers
        ) * interval '1 s' < now()
) AS unleased
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
    <> EXISTS (SELECT FROM trials WHERE sweep_id = sweeps.id AND state IN ('queued', 'running'))
UNION ALL
SELECT 'ends_are_counted', 'of every sweep as many trials are over as were counted when they ended', count(*), min(sweeps.id)
FROM sweeps
LEFT JOIN sweep_ends AS counted ON counted.sweep_id = sweeps.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM trials WHERE sweep_id = sweeps.id
) AS over
WHERE (over.succeeded, over.failed, over.cancelled)
    <> (coalesce(counted.succeeded, 0), coalesce(counted.failed, 0), coalesce(counted.cancelled, 0));
