-- The same of linear networks that begin at zero; with the alignment of the top hidden layer.
SELECT t.data, t.activation, t.seed, c.step,
    c.gradient_alignment, 1 - c.train_accuracy AS train_error, c.train_loss, a.gradient_alignment AS top_alignment
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
JOIN v_alignment AS a USING (trial_id, step)
WHERE c.sweep_id = :linear AND a.sweep_id = :linear AND a.layer = t.layers - 1
ORDER BY t.seed, c.step
