-- When each layer aligns and when the loss falls, of trials that have succeeded. The rows are written soon after.
CREATE OR REPLACE VIEW v_phases AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    own.layer, own.gradient_alignment_max, own.aligned_at_step, whole.loss_halved_at_step, own.aligns_first,
    own.alignment_half_step, own.alignment_most_step, whole.loss_half_step, own.alignment_max_step,
    own.gradient_alignment_final, own.alignment_decline, own.declines, whole.sequential
FROM trials
JOIN groups ON groups.id = trials.group_id
JOIN trial_phases AS whole ON whole.trial_id = trials.id
JOIN layer_phases AS own ON own.trial_id = trials.id
WHERE trials.state = 'succeeded';

-- The same of whole trials, also of those that have no gradient alignment.
CREATE VIEW v_trial_phases AS
SELECT
    trials.sweep_id, trials.id AS trial_id, trials.group_id, trials.seed,
    groups.config #>> '{rule,name}' AS rule,
    whole.loss_halved_at_step, whole.loss_half_step, own.layers, own.layers_aligned, own.aligns_first, own.declines,
    whole.sequential
FROM trials
JOIN groups ON groups.id = trials.group_id
JOIN trial_phases AS whole ON whole.trial_id = trials.id
CROSS JOIN LATERAL (
    SELECT count(*) AS layers, count(aligned_at_step) AS layers_aligned, bool_and(aligns_first) AS aligns_first,
        bool_or(declines) AS declines
    FROM layer_phases WHERE trial_id = trials.id
) AS own
WHERE trials.state = 'succeeded';

GRANT SELECT ON v_trial_phases TO alignsweep_reader;

DO $$
DECLARE
    said record;
    views CONSTANT jsonb := $json${
        "v_phases": "When each layer aligns, when the loss falls, and which comes first: succeeded trials, by layer that has a gradient alignment.",
        "v_trial_phases": "Align, then memorise: succeeded trials of any rule, all layers together."
    }$json$;
    columns CONSTANT jsonb := $json${
        "sweep_id": "The sweep.",
        "trial_id": "The trial.",
        "group_id": "The configuration without the seed; trials of one group differ by the seed alone.",
        "seed": "Seed of all random streams that the configuration does not pin.",
        "rule": "Learning rule: bp, fa, dfa, shallow, ...",
        "loss_halved_at_step": "First trace point at which half of the whole fall of the training loss is done; NULL where it does not fall, by 1 % and more than noise.",
        "loss_half_step": "When that half is done, between trace points.",
        "sequential": "Whether layers align from the bottom to the top: none earlier than the one below it by more than one trace interval, and the last later than the first; NULL for fewer than two layers, and where one does not align."
    }$json$;
    single CONSTANT jsonb := $json${
        "v_phases": {
            "layer": "Layer, counted from 1 at the bottom.",
            "gradient_alignment_max": "The layer's highest gradient alignment, of the running median of three trace points, as all that follows.",
            "aligned_at_step": "First trace point at half of its maximum; NULL where the maximum is below 0.1: the layer does not align.",
            "aligns_first": "Whether half of the alignment is there before half of the fall of the loss, or at most one trace interval later: strictly before is alignment_half_step < loss_half_step.",
            "alignment_half_step": "When it reaches half of its maximum, between trace points: linear in log(1 + step).",
            "alignment_most_step": "When it reaches nine tenths of its maximum, between trace points.",
            "alignment_max_step": "First trace point at its maximum.",
            "gradient_alignment_final": "Gradient alignment at the end.",
            "alignment_decline": "What is lost again: the maximum less the final one; noise alone makes it positive.",
            "declines": "Whether a twentieth of the maximum is lost again, and more than noise: five standard deviations."
        },
        "v_trial_phases": {
            "layers": "Layers that have a gradient alignment; 0 of bp.",
            "layers_aligned": "How many of them align: reach 0.1.",
            "aligns_first": "Whether all that align do so no later than the loss falls, but for a trace interval; NULL where none aligns.",
            "declines": "Whether the alignment of one of them declines again; NULL where none aligns."
        }
    }$json$;
BEGIN
    FOR said IN
        SELECT relname AS view, attname AS name,
            coalesce(single #>> ARRAY[relname::text, attname::text], columns ->> attname::text) AS meaning
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace AND views ? relname::text
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', said.view, said.name, said.meaning);
    END LOOP;
    FOR said IN SELECT key AS view, value AS meaning FROM jsonb_each_text(views) LOOP
        EXECUTE format('COMMENT ON VIEW %I IS %L', said.view, said.meaning);
    END LOOP;
END
$$;
