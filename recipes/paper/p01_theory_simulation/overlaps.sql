-- How far the entries of Q, R and v come apart at most, and the largest entry of the theory.
SELECT solved.rule, solved.seed, theory.quantity,
    (solved.config #>> '{model,init_scale}')::double precision AS init_scale,
    (solved.config #>> '{data,inputs}')::integer AS inputs,
    max(abs(simulation.value - theory.value)) AS apart, max(abs(theory.value)) AS largest
FROM v_trials AS solved
JOIN v_trials AS trained USING (sweep_id, seed)
JOIN v_order_parameters AS theory ON theory.trial_id = solved.trial_id
JOIN v_order_parameters AS simulation ON simulation.trial_id = trained.trial_id
    AND (simulation.step, simulation.quantity, simulation.i, simulation.j)
        = (theory.step, theory.quantity, theory.i, theory.j)
WHERE solved.sweep_id = :erf AND solved.model = 'theory' AND trained.model = 'committee'
    AND solved.varied - 'model.kind' = trained.varied - 'model.kind' AND theory.quantity IN ('Q', 'R', 'v')
GROUP BY solved.trial_id, solved.rule, solved.seed, solved.config, theory.quantity
ORDER BY inputs, init_scale, solved.rule, theory.quantity, solved.seed
