-- Entries at the end of theory and simulation that start alike, over runs that differ in their samples alone.
SELECT solved.activation, solved.rule, (solved.config #>> '{model,hidden,0}')::integer AS units,
    theory.quantity, theory.i, theory.j, count(*) AS n,
    avg(initial.value) AS initial, avg(theory.value) AS theory,
    avg(simulation.value) AS simulation, stddev_samp(simulation.value) AS sd
FROM v_trials AS solved
JOIN v_trials AS trained USING (sweep_id, seed)
JOIN v_order_parameters AS theory ON theory.trial_id = solved.trial_id AND theory.step = solved.steps
JOIN v_order_parameters AS initial ON initial.trial_id = solved.trial_id AND initial.step = 0
    AND (initial.quantity, initial.i, initial.j) = (theory.quantity, theory.i, theory.j)
JOIN v_order_parameters AS simulation ON simulation.trial_id = trained.trial_id
    AND (simulation.step, simulation.quantity, simulation.i, simulation.j)
        = (theory.step, theory.quantity, theory.i, theory.j)
WHERE solved.sweep_id = :starts AND solved.model = 'theory' AND trained.model = 'committee'
    AND solved.varied - 'model.kind' = trained.varied - 'model.kind'
    AND (theory.quantity IN ('R', 'v') OR theory.quantity = 'Q' AND theory.i <= theory.j)
GROUP BY solved.activation, solved.rule, units, theory.quantity, theory.i, theory.j
ORDER BY solved.activation, units, solved.rule, theory.quantity, theory.i, theory.j
