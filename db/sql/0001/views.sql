-- The public SQL contract. Tables may change under these views; the columns of these views do not.
-- Text columns hold states and reasons in the words of the documentation; times are UTC; losses are means per sample;
-- alignments are cosines in [-1, 1]; NULL means undefined.

CREATE VIEW v_sweeps AS
SELECT id AS sweep_id, name, owner, state, priority, trial_count, created_at, started_at, finished_at, spec
FROM sweeps;

-- The configuration of every trial, flat and typed: WHERE name = 'train.lr' AND number < 0.01.
CREATE VIEW trial_params AS
SELECT trials.id AS trial_id, group_params.name, group_params.number, group_params.text
FROM trials JOIN group_params USING (group_id)
UNION ALL
SELECT id, 'seed', seed, seed::text FROM trials;

-- One row per trial: what it is, where it stands, how it ended.
CREATE VIEW v_trials AS
SELECT
    trials.id AS trial_id, trials.sweep_id, sweeps.name AS sweep, trials.position, groups.id AS group_id,
    groups.group_hash, trials.config_hash, trials.seed, trials.state, trials.reason, trials.error,
    trials.attempts, trials.max_attempts,
    groups.config #>> '{data,name}' AS data,
    (groups.config #>> '{data,label_noise}')::double precision AS label_noise,
    groups.config #>> '{rule,name}' AS rule,
    groups.config #>> '{rule,feedback,scale}' AS feedback_scale,
    groups.config #>> '{model,activation}' AS activation,
    groups.config #>> '{model,hidden}' AS hidden,
    jsonb_array_length(groups.config #> '{model,hidden}') + 1 AS layers,
    (groups.config #>> '{train,lr}')::double precision AS lr,
    (groups.config #>> '{train,batch_size}')::bigint AS batch_size,
    (groups.config #>> '{train,epochs}')::bigint AS epochs,
    groups.config, groups.varied,
    trial_summaries.steps, trial_summaries.diverged_at_step,
    trial_summaries.train_loss, trial_summaries.train_accuracy,
    trial_summaries.test_loss, trial_summaries.test_accuracy,
    trial_summaries.weight_alignment, trial_summaries.gradient_alignment,
    trials.created_at, trials.started_at, trials.finished_at
FROM trials
JOIN sweeps ON sweeps.id = trials.sweep_id
JOIN groups ON groups.id = trials.group_id
LEFT JOIN trial_summaries ON trial_summaries.trial_id = trials.id;

-- Loss, accuracy and total alignment against the step.
CREATE VIEW v_curves AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    metrics.step, metrics.epoch, metrics.train_loss, metrics.train_accuracy, metrics.test_loss, metrics.test_accuracy,
    metrics.weight_alignment, metrics.gradient_alignment
FROM trials JOIN groups ON groups.id = trials.group_id JOIN metrics ON metrics.trial_id = trials.id;

-- Alignment of every layer against the step.
CREATE VIEW v_alignment AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    traces.step, traces.layer, traces.weight_alignment, traces.gradient_alignment, traces.weight_gradient_alignment,
    traces.delta_norm_ratio, traces.weight_norm, traces.update_norm
FROM trials JOIN groups ON groups.id = trials.group_id JOIN traces ON traces.trial_id = trials.id;

-- Alignment of every layer at the last trace point of finished trials.
CREATE VIEW v_alignment_final AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    groups.config #>> '{model,activation}' AS activation,
    groups.config #>> '{model,hidden}' AS hidden,
    layer_summaries.step, layer_summaries.layer, layer_summaries.weight_alignment, layer_summaries.gradient_alignment,
    layer_summaries.weight_gradient_alignment, layer_summaries.delta_norm_ratio, layer_summaries.weight_norm,
    layer_summaries.update_norm
FROM trials JOIN groups ON groups.id = trials.group_id JOIN layer_summaries ON layer_summaries.trial_id = trials.id;

-- Final metrics over the seeds of each group: n succeeded trials, mean, standard deviation, 95 % interval of the mean.
CREATE VIEW v_group_stats AS
SELECT
    sweep_id, group_id, group_hash, varied, rule, count(*) AS n, count(diverged_at_step) AS diverged,
    avg(train_loss) AS train_loss_mean, stddev_samp(train_loss) AS train_loss_sd,
    avg(test_loss) AS test_loss_mean, stddev_samp(test_loss) AS test_loss_sd,
    avg(train_accuracy) AS train_accuracy_mean, stddev_samp(train_accuracy) AS train_accuracy_sd,
    avg(test_accuracy) AS test_accuracy_mean, stddev_samp(test_accuracy) AS test_accuracy_sd,
    avg(test_accuracy) - student_t_975(count(test_accuracy) - 1) * stddev_samp(test_accuracy)
        / sqrt(nullif(count(test_accuracy), 0)) AS test_accuracy_low,
    avg(test_accuracy) + student_t_975(count(test_accuracy) - 1) * stddev_samp(test_accuracy)
        / sqrt(nullif(count(test_accuracy), 0)) AS test_accuracy_high,
    avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
    avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
FROM v_trials
WHERE state = 'succeeded'
GROUP BY sweep_id, group_id, group_hash, varied, rule;

-- Final alignment per layer over the seeds of each group.
CREATE VIEW v_group_alignment AS
SELECT
    sweep_id, group_id, rule, layer, count(*) AS n,
    avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
    avg(gradient_alignment) - student_t_975(count(gradient_alignment) - 1) * stddev_samp(gradient_alignment)
        / sqrt(nullif(count(gradient_alignment), 0)) AS gradient_alignment_low,
    avg(gradient_alignment) + student_t_975(count(gradient_alignment) - 1) * stddev_samp(gradient_alignment)
        / sqrt(nullif(count(gradient_alignment), 0)) AS gradient_alignment_high,
    avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
FROM v_alignment_final
GROUP BY sweep_id, group_id, rule, layer;

-- Curves over the seeds of each group; n counts the trials that have reached the step.
CREATE VIEW v_group_curves AS
SELECT
    sweep_id, group_id, rule, step, min(epoch) AS epoch, count(*) AS n,
    avg(train_loss) AS train_loss_mean, stddev_samp(train_loss) AS train_loss_sd,
    avg(test_loss) AS test_loss_mean, stddev_samp(test_loss) AS test_loss_sd,
    avg(train_accuracy) AS train_accuracy_mean, stddev_samp(train_accuracy) AS train_accuracy_sd,
    avg(test_accuracy) AS test_accuracy_mean, stddev_samp(test_accuracy) AS test_accuracy_sd,
    avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
    avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
FROM v_curves
GROUP BY sweep_id, group_id, rule, step;

-- Alignment of every layer against the step over the seeds of each group.
CREATE VIEW v_group_alignment_curves AS
SELECT
    sweep_id, group_id, rule, step, layer, count(*) AS n,
    avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
    avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
FROM v_alignment
GROUP BY sweep_id, group_id, rule, step, layer;

-- When each layer aligns and when the loss falls, in trace points of each succeeded trial. `aligned_at_step`: first step
-- whose gradient alignment is at least half of the layer's maximum; `loss_halved_at_step`: first step at which half of
-- the whole fall of the training loss is done.
CREATE VIEW v_phases AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    aligned.layer, aligned.gradient_alignment_max, aligned.aligned_at_step, fallen.loss_halved_at_step,
    aligned.aligned_at_step <= fallen.loss_halved_at_step AS aligns_first
FROM trials
JOIN groups ON groups.id = trials.group_id
CROSS JOIN LATERAL (
    SELECT
        layer, max(best) AS gradient_alignment_max,
        min(step) FILTER (WHERE gradient_alignment >= 0.5 * best AND best > 0) AS aligned_at_step
    FROM (
        SELECT layer, step, gradient_alignment, max(gradient_alignment) OVER (PARTITION BY layer) AS best
        FROM traces WHERE trial_id = trials.id AND gradient_alignment IS NOT NULL
    ) AS points
    GROUP BY layer
) AS aligned
CROSS JOIN LATERAL (
    SELECT min(step) FILTER (WHERE train_loss <= (first_loss + least) / 2) AS loss_halved_at_step
    FROM (
        SELECT step, train_loss, min(train_loss) OVER () AS least,
            first_value(train_loss) OVER (ORDER BY step) AS first_loss
        FROM metrics WHERE trial_id = trials.id
    ) AS points
) AS fallen
WHERE trials.state = 'succeeded';

-- What waits and what runs, per sweep.
CREATE VIEW v_queue AS
SELECT
    trials.sweep_id, sweeps.name AS sweep, sweeps.state AS sweep_state, sweeps.priority,
    count(*) FILTER (WHERE trials.state = 'queued') AS queued,
    count(*) FILTER (WHERE trials.state = 'running') AS running,
    count(DISTINCT trials.pack_id) AS packs,
    min(trials.created_at) FILTER (WHERE trials.state = 'queued') AS oldest_queued_at
FROM trials JOIN sweeps ON sweeps.id = trials.sweep_id
WHERE trials.state IN ('queued', 'running')
GROUP BY trials.sweep_id, sweeps.name, sweeps.state, sweeps.priority;
