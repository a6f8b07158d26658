-- Alignment and loss of networks that memorise random targets.
SELECT t.activation, t.seed,
    (t.varied ->> 'data.alpha')::double precision AS alpha,
    (t.varied ->> 'data.beta')::double precision AS beta,
    c.step, c.gradient_alignment, c.weight_alignment, c.train_loss
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
WHERE c.sweep_id = :grid
ORDER BY t.activation, alpha, beta, t.seed, c.step
