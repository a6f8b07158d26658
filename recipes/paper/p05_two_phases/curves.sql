-- Time is counted in samples per input dimension.
SELECT t.model, t.rule, t.seed, (t.config #>> '{model,init_scale}')::double precision AS init_scale,
    (t.config #>> '{data,inputs}')::integer AS inputs, c.epoch * t.batch_size AS time,
    c.generalisation_error AS error, c.weight_alignment AS alignment
FROM v_trials AS t
JOIN v_curves AS c USING (trial_id)
WHERE t.sweep_id IN (:theory, :simulation) AND (t.model = 'theory') = (t.sweep_id = :theory)
ORDER BY t.model, inputs, init_scale, t.rule, t.seed, c.step
