-- Alignment of every layer against the step.
CREATE OR REPLACE VIEW v_alignment AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    traces.step, traces.layer, traces.weight_alignment, traces.gradient_alignment, traces.weight_gradient_alignment,
    traces.delta_norm_ratio, traces.weight_norm, traces.update_norm,
    traces.delta_effective_rank, traces.alignment_condition, traces.alignment_identity, traces.alignment_residual
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
    groups.config #>> '{model,kind}' AS model, layer_summaries.alignment_residual
FROM trials JOIN groups ON groups.id = trials.group_id JOIN layer_summaries ON layer_summaries.trial_id = trials.id;

DO $$
DECLARE
    said text;
BEGIN
    FOREACH said IN ARRAY ARRAY['v_alignment', 'v_alignment_final'] LOOP
        EXECUTE format('COMMENT ON COLUMN %I.alignment_residual IS %L', said,
            'Largest entry of W_l - F_l A_l F_(l-1)^T over that of W_l (dfa): 0 in the form of weak weight alignment, as '
            'deep linear networks from zero keep it; NULL where A_l is not defined or W_l is zero.');
    END LOOP;
END
$$;
