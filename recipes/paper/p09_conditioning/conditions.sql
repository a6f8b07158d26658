SELECT (t.varied ->> 'data.alpha')::double precision AS alpha,
    (t.varied ->> 'data.beta')::double precision AS beta,
    t.seed, a.step, c.train_loss, a.layer, a.weight_alignment, a.alignment_condition AS condition
FROM v_alignment AS a
JOIN v_curves AS c USING (trial_id, step)
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :grid AND a.layer > 1
ORDER BY alpha, beta, t.seed, a.step, a.layer
