-- Views of groups: their axes, and the 95 % interval of every mean over seeds. New columns stand at the end.

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
    ended.gradient_alignment_mean, ended.gradient_alignment_sd, ended.weight_alignment_mean, ended.weight_alignment_sd,
    ended.train_loss_mean - ended.train_loss_half AS train_loss_low,
    ended.train_loss_mean + ended.train_loss_half AS train_loss_high,
    ended.test_loss_mean - ended.test_loss_half AS test_loss_low,
    ended.test_loss_mean + ended.test_loss_half AS test_loss_high,
    ended.train_accuracy_mean - ended.train_accuracy_half AS train_accuracy_low,
    ended.train_accuracy_mean + ended.train_accuracy_half AS train_accuracy_high,
    ended.gradient_alignment_mean - ended.gradient_alignment_half AS gradient_alignment_low,
    ended.gradient_alignment_mean + ended.gradient_alignment_half AS gradient_alignment_high,
    ended.weight_alignment_mean - ended.weight_alignment_half AS weight_alignment_low,
    ended.weight_alignment_mean + ended.weight_alignment_half AS weight_alignment_high
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
        avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd,
        student_t_975(count(train_loss) - 1) * stddev_samp(train_loss) / sqrt(nullif(count(train_loss), 0))
            AS train_loss_half,
        student_t_975(count(test_loss) - 1) * stddev_samp(test_loss) / sqrt(nullif(count(test_loss), 0))
            AS test_loss_half,
        student_t_975(count(train_accuracy) - 1) * stddev_samp(train_accuracy) / sqrt(nullif(count(train_accuracy), 0))
            AS train_accuracy_half,
        student_t_975(count(gradient_alignment) - 1) * stddev_samp(gradient_alignment) / sqrt(nullif(count(gradient_alignment), 0))
            AS gradient_alignment_half,
        student_t_975(count(weight_alignment) - 1) * stddev_samp(weight_alignment) / sqrt(nullif(count(weight_alignment), 0))
            AS weight_alignment_half
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
    ended.weight_alignment_mean, ended.weight_alignment_sd,
    groups.varied,
    ended.weight_alignment_mean - ended.weight_alignment_half AS weight_alignment_low,
    ended.weight_alignment_mean + ended.weight_alignment_half AS weight_alignment_high
FROM groups
CROSS JOIN LATERAL (
    SELECT
        layer, count(*) AS n,
        avg(gradient_alignment) AS gradient_alignment_mean, stddev_samp(gradient_alignment) AS gradient_alignment_sd,
        student_t_975(count(gradient_alignment) - 1) * stddev_samp(gradient_alignment)
            / sqrt(nullif(count(gradient_alignment), 0)) AS gradient_alignment_half,
        avg(weight_alignment) AS weight_alignment_mean, stddev_samp(weight_alignment) AS weight_alignment_sd,
        student_t_975(count(weight_alignment) - 1) * stddev_samp(weight_alignment)
            / sqrt(nullif(count(weight_alignment), 0)) AS weight_alignment_half
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
    kept.gradient_alignment_mean, kept.gradient_alignment_sd, kept.weight_alignment_mean, kept.weight_alignment_sd,
    groups.varied
FROM group_curves AS kept JOIN groups ON groups.id = kept.group_id
UNION ALL
SELECT groups.sweep_id, groups.id, groups.config #>> '{rule,name}', computed.*, groups.varied
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
    kept.gradient_alignment_mean, kept.gradient_alignment_sd, kept.weight_alignment_mean, kept.weight_alignment_sd,
    groups.varied
FROM group_traces AS kept JOIN groups ON groups.id = kept.group_id
UNION ALL
SELECT groups.sweep_id, groups.id, groups.config #>> '{rule,name}', computed.*, groups.varied
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
