-- Views of trials say on which axes of their sweep they stand. New columns stand at the end.

-- One row per trial: what it is, where it stands, how it ended. The scale of the feedback: where there is any.
CREATE OR REPLACE VIEW v_trials AS
SELECT
    trials.id AS trial_id, trials.sweep_id, sweeps.name AS sweep, trials.position, groups.id AS group_id,
    groups.group_hash, trials.config_hash, trials.seed, trials.state, trials.reason, trials.error,
    trials.attempts, trials.max_attempts,
    groups.config #>> '{data,name}' AS data,
    (groups.config #>> '{data,label_noise}')::double precision AS label_noise,
    groups.config #>> '{rule,name}' AS rule,
    CASE
        WHEN groups.config #>> '{rule,name}' NOT IN ('bp', 'shallow')
            OR groups.config #>> '{rule,switch,to}' NOT IN ('bp', 'shallow')
            OR groups.config #>> '{model,init}' LIKE 'aligned%'
        THEN groups.config #>> '{rule,feedback,scale}'
    END AS feedback_scale,
    groups.config #>> '{model,activation}' AS activation,
    groups.config #>> '{model,hidden}' AS hidden,
    CASE groups.config #>> '{model,kind}'
        WHEN 'transformer' THEN (groups.config #>> '{model,transformer,blocks}')::int + 2
        WHEN 'cnn' THEN jsonb_array_length(groups.config #> '{model,conv,channels}')
            + jsonb_array_length(groups.config #> '{model,hidden}') + 1
        ELSE jsonb_array_length(groups.config #> '{model,hidden}') + 1
    END AS layers,
    (groups.config #>> '{train,lr}')::double precision AS lr,
    (groups.config #>> '{train,batch_size}')::bigint AS batch_size,
    (groups.config #>> '{train,epochs}')::bigint AS epochs,
    groups.config, groups.varied,
    trial_summaries.steps, trial_summaries.diverged_at_step,
    trial_summaries.train_loss, trial_summaries.train_accuracy,
    trial_summaries.test_loss, trial_summaries.test_accuracy,
    trial_summaries.weight_alignment, trial_summaries.gradient_alignment,
    trials.created_at, trials.started_at, trials.finished_at,
    groups.config #>> '{model,kind}' AS model,
    trial_summaries.weight_alignment_scaled, trial_summaries.gradient_alignment_published,
    trial_summaries.generalisation_error
FROM trials
JOIN sweeps ON sweeps.id = trials.sweep_id
JOIN groups ON groups.id = trials.group_id
LEFT JOIN trial_summaries ON trial_summaries.trial_id = trials.id;

-- Loss, accuracy and total alignment against the step.
CREATE OR REPLACE VIEW v_curves AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    metrics.step, metrics.epoch, metrics.train_loss, metrics.train_accuracy, metrics.test_loss, metrics.test_accuracy,
    metrics.weight_alignment, metrics.gradient_alignment,
    metrics.weight_alignment_scaled, metrics.gradient_alignment_published, metrics.generalisation_error,
    groups.varied
FROM trials JOIN groups ON groups.id = trials.group_id JOIN metrics ON metrics.trial_id = trials.id;

-- Alignment of every layer against the step.
CREATE OR REPLACE VIEW v_alignment AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    traces.step, traces.layer, traces.weight_alignment, traces.gradient_alignment, traces.weight_gradient_alignment,
    traces.delta_norm_ratio, traces.weight_norm, traces.update_norm,
    traces.delta_effective_rank, traces.alignment_condition, traces.alignment_identity, traces.alignment_residual,
    groups.varied
FROM trials JOIN groups ON groups.id = trials.group_id JOIN traces ON traces.trial_id = trials.id;

-- Alignment of every layer at the last trace point of finished trials.
CREATE OR REPLACE VIEW v_alignment_final AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    groups.config #>> '{model,activation}' AS activation,
    groups.config #>> '{model,hidden}' AS hidden,
    layer_summaries.step, layer_summaries.layer, layer_summaries.weight_alignment, layer_summaries.gradient_alignment,
    layer_summaries.weight_gradient_alignment, layer_summaries.delta_norm_ratio, layer_summaries.weight_norm,
    layer_summaries.update_norm,
    layer_summaries.delta_effective_rank, layer_summaries.alignment_condition, layer_summaries.alignment_identity,
    groups.config #>> '{model,kind}' AS model, layer_summaries.alignment_residual, groups.varied
FROM trials JOIN groups ON groups.id = trials.group_id JOIN layer_summaries ON layer_summaries.trial_id = trials.id;

-- Order parameters of teacher-student pairs: Q, R, T (matrices), v, A, F (vectors, j = 0); i and j count from 1.
CREATE OR REPLACE VIEW v_order_parameters AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    order_parameters.step, order_parameters.quantity, order_parameters.i, order_parameters.j, order_parameters.value,
    groups.varied
FROM trials JOIN groups ON groups.id = trials.group_id JOIN order_parameters ON order_parameters.trial_id = trials.id;

-- Weights that were kept: safetensors documents in the store, by their SHA-256.
CREATE OR REPLACE VIEW v_snapshots AS
SELECT
    trials.sweep_id, snapshots.trial_id, trials.group_id, trials.seed, snapshots.step, snapshots.sha256, snapshots.bytes,
    groups.config #>> '{rule,name}' AS rule, groups.varied
FROM snapshots JOIN trials ON trials.id = snapshots.trial_id JOIN groups ON groups.id = trials.group_id;

-- Cosine of the parameters of two seeds of a group at a step: do they end in one solution? Layer 0 is all layers.
CREATE OR REPLACE VIEW v_parameter_cosines AS
SELECT
    a.sweep_id, a.group_id, groups.config #>> '{rule,name}' AS rule, parameter_cosines.step, parameter_cosines.layer,
    parameter_cosines.trial_a, parameter_cosines.trial_b, a.seed AS seed_a, b.seed AS seed_b, parameter_cosines.cosine,
    groups.varied
FROM parameter_cosines
JOIN trials AS a ON a.id = parameter_cosines.trial_a
JOIN trials AS b ON b.id = parameter_cosines.trial_b
JOIN groups ON groups.id = a.group_id;

-- When each layer aligns and when the loss falls, of trials that have succeeded. The rows are written soon after.
CREATE OR REPLACE VIEW v_phases AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    own.layer, own.gradient_alignment_max, own.aligned_at_step, whole.loss_halved_at_step, own.aligns_first,
    own.alignment_half_step, own.alignment_most_step, whole.loss_half_step, own.alignment_max_step,
    own.gradient_alignment_final, own.alignment_decline, own.declines, whole.sequential, groups.varied
FROM trials
JOIN groups ON groups.id = trials.group_id
JOIN trial_phases AS whole ON whole.trial_id = trials.id
JOIN layer_phases AS own ON own.trial_id = trials.id
WHERE trials.state = 'succeeded';

-- The same of whole trials, also of those that have no gradient alignment.
CREATE OR REPLACE VIEW v_trial_phases AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    whole.loss_halved_at_step, whole.loss_half_step, own.layers, own.layers_aligned, own.aligns_first, own.declines,
    whole.sequential, groups.varied
FROM trials
JOIN groups ON groups.id = trials.group_id
JOIN trial_phases AS whole ON whole.trial_id = trials.id
CROSS JOIN LATERAL (
    SELECT count(*) AS layers, count(aligned_at_step) AS layers_aligned, bool_and(aligns_first) AS aligns_first,
        bool_or(declines) AS declines
    FROM layer_phases WHERE trial_id = trials.id
) AS own
WHERE trials.state = 'succeeded';
