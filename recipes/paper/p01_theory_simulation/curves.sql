-- Time is counted in samples per input dimension.
SELECT solved.rule, solved.seed,
    (solved.config #>> '{model,init_scale}')::double precision AS init_scale,
    (solved.config #>> '{data,inputs}')::integer AS inputs,
    theory.epoch * solved.batch_size AS time,
    theory.generalisation_error AS theory, simulation.generalisation_error AS simulation
FROM v_trials AS solved
JOIN v_trials AS trained USING (sweep_id, seed)
JOIN v_curves AS theory ON theory.trial_id = solved.trial_id
JOIN v_curves AS simulation ON simulation.trial_id = trained.trial_id AND simulation.step = theory.step
WHERE solved.sweep_id = :erf AND solved.model = 'theory' AND trained.model = 'committee'
    AND solved.varied - 'model.kind' = trained.varied - 'model.kind'
ORDER BY inputs, init_scale, solved.rule, solved.seed, theory.step
