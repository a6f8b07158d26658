-- Theory and simulation of one seed at one time, which is counted in samples per input dimension.
SELECT t.rule, t.seed, (t.config #>> '{model,init_scale}')::double precision AS init_scale,
    (t.config #>> '{data,inputs}')::integer AS inputs, c.epoch * t.batch_size AS time,
    max(c.generalisation_error) FILTER (WHERE t.model = 'theory') AS theory,
    max(c.generalisation_error) FILTER (WHERE t.model = 'committee') AS simulation
FROM v_trials AS t
JOIN v_curves AS c USING (trial_id)
WHERE t.sweep_id = :erf
GROUP BY inputs, init_scale, t.rule, t.seed, time
ORDER BY inputs, init_scale, t.rule, t.seed, time
