-- Alignment of all hidden layers together and training error, of non-linear networks.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.seed, c.step,
    c.gradient_alignment, 1 - c.train_accuracy AS train_error, c.train_loss
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
WHERE c.sweep_id = :deep AND t.rule = 'dfa'
ORDER BY data, t.activation, t.seed, c.step
