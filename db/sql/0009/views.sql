-- Views of traces, over its partitions; and curves of groups, which are kept once their sweep is over.

-- Alignment of every layer against the step.
CREATE OR REPLACE VIEW v_alignment AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    traces.step, traces.layer, traces.weight_alignment, traces.gradient_alignment, traces.weight_gradient_alignment,
    traces.delta_norm_ratio, traces.weight_norm, traces.update_norm,
    traces.delta_effective_rank, traces.alignment_condition, traces.alignment_identity
FROM trials JOIN groups ON groups.id = trials.group_id JOIN traces ON traces.trial_id = trials.id;

-- When each layer aligns and when the loss falls, in trace points of each succeeded trial. `aligned_at_step`: first step
-- whose gradient alignment is at least half of the layer's maximum; `loss_halved_at_step`: first step at which half of
-- the whole fall of the training loss is done.
CREATE OR REPLACE VIEW v_phases AS
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

-- Statistics over the seeds of each group. Here and below a group is looked at by itself, and the rows of each trial by
-- their index (OFFSET 0 keeps the planner from other ideas): what it costs does not depend on how much else there is.
CREATE OR REPLACE VIEW v_group_stats AS
SELECT
    groups.sweep_id, groups.id AS group_id, groups.group_hash, groups.varied, groups.config #>> '{rule,name}' AS rule,
    ended.n, ended.diverged,
    ended.train_loss_mean, ended.train_loss_sd, ended.test_loss_mean, ended.test_loss_sd,
    ended.train_accuracy_mean, ended.train_accuracy_sd, ended.test_accuracy_mean, ended.test_accuracy_sd,
    ended.test_accuracy_mean - ended.test_accuracy_half AS test_accuracy_low,
    ended.test_accuracy_mean + ended.test_accuracy_half AS test_accuracy_high,
    ended.gradient_alignment_mean, ended.gradient_alignment_sd, ended.weight_alignment_mean, ended.weight_alignment_sd
FROM groups
CROSS JOIN LATERAL (
    SELECT
        count(*) AS n, count(diverged_at_step) AS diverged,
        avg(train_loss) AS train_loss_mean, stddev_samp(train_loss) AS train_loss_sd,
        avg(test_loss) AS test_loss_mean, stddev_samp(test_loss) AS test_loss_sd,
        avg(train_accuracy) AS train_accuracy_mean, stddev_samp(train_accuracy) AS train_accuracy_sd,
        avg(test_accuracy) AS test_accuracy_mean, stddev_samp(test_accuracy) AS test_accuracy_sd,
        student_t_975(count(test_accuracy) - 1) * stddev_samp(test_accuracy) / sqrt(nullif(count(test_accuracy), 0))
            AS test_accuracy_half,
        avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
        avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
    FROM trials
    LEFT JOIN LATERAL (SELECT * FROM trial_summaries WHERE trial_id = trials.id OFFSET 0) AS summary ON true
    WHERE trials.group_id = groups.id AND trials.state = 'succeeded'
) AS ended
WHERE ended.n > 0;

-- Final alignment per layer over the seeds of each group.
CREATE OR REPLACE VIEW v_group_alignment AS
SELECT
    groups.sweep_id, groups.id AS group_id, groups.config #>> '{rule,name}' AS rule, ended.layer, ended.n,
    ended.gradient_alignment_mean, ended.gradient_alignment_sd,
    ended.gradient_alignment_mean - ended.gradient_alignment_half AS gradient_alignment_low,
    ended.gradient_alignment_mean + ended.gradient_alignment_half AS gradient_alignment_high,
    ended.weight_alignment_mean, ended.weight_alignment_sd
FROM groups
CROSS JOIN LATERAL (
    SELECT
        layer, count(*) AS n,
        avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
        student_t_975(count(gradient_alignment) - 1) * stddev_samp(gradient_alignment)
            / sqrt(nullif(count(gradient_alignment), 0)) AS gradient_alignment_half,
        avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd
    FROM trials
    CROSS JOIN LATERAL (SELECT * FROM layer_summaries WHERE trial_id = trials.id OFFSET 0) AS final
    WHERE trials.group_id = groups.id
    GROUP BY layer
) AS ended;

-- Curves over the seeds of each group; n counts the trials that have reached the step.
CREATE OR REPLACE VIEW v_group_curves AS
SELECT
    groups.sweep_id, kept.group_id, groups.config #>> '{rule,name}' AS rule, kept.step, kept.epoch, kept.n,
    kept.train_loss_mean, kept.train_loss_sd, kept.test_loss_mean, kept.test_loss_sd,
    kept.train_accuracy_mean, kept.train_accuracy_sd, kept.test_accuracy_mean, kept.test_accuracy_sd,
    kept.gradient_alignment_mean, kept.gradient_alignment_sd, kept.weight_alignment_mean, kept.weight_alignment_sd
FROM group_curves AS kept JOIN groups ON groups.id = kept.group_id
UNION ALL
SELECT groups.sweep_id, groups.id, groups.config #>> '{rule,name}', computed.*
FROM groups
CROSS JOIN LATERAL (
    SELECT
        step, min(epoch), count(*),
        avg(train_loss), stddev_samp(train_loss), avg(test_loss), stddev_samp(test_loss),
        avg(train_accuracy), stddev_samp(train_accuracy), avg(test_accuracy), stddev_samp(test_accuracy),
        avg(gradient_alignment), stddev_samp(gradient_alignment), avg(weight_alignment), stddev_samp(weight_alignment)
    FROM trials
    CROSS JOIN LATERAL (SELECT * FROM metrics WHERE trial_id = trials.id OFFSET 0) AS measured
    WHERE trials.group_id = groups.id
    GROUP BY step
) AS computed
WHERE NOT groups.rolled_up;

-- Alignment of every layer against the step over the seeds of each group.
CREATE OR REPLACE VIEW v_group_alignment_curves AS
SELECT
    groups.sweep_id, kept.group_id, groups.config #>> '{rule,name}' AS rule, kept.step, kept.layer, kept.n,
    kept.gradient_alignment_mean, kept.gradient_alignment_sd, kept.weight_alignment_mean, kept.weight_alignment_sd
FROM group_traces AS kept JOIN groups ON groups.id = kept.group_id
UNION ALL
SELECT groups.sweep_id, groups.id, groups.config #>> '{rule,name}', computed.*
FROM groups
CROSS JOIN LATERAL (
    SELECT
        step, layer, count(*),
        avg(gradient_alignment), stddev_samp(gradient_alignment), avg(weight_alignment), stddev_samp(weight_alignment)
    FROM trials
    CROSS JOIN LATERAL (SELECT * FROM traces WHERE trial_id = trials.id OFFSET 0) AS measured
    WHERE trials.group_id = groups.id
    GROUP BY step, layer
) AS computed
WHERE NOT groups.rolled_up;
