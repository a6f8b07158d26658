-- Gradient alignment of every hidden layer beside the training error, at every trace point.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.lr, t.seed, a.layer, a.step,
    a.gradient_alignment, 1 - c.train_accuracy AS train_error
FROM v_alignment AS a
JOIN v_curves AS c USING (trial_id, step)
JOIN v_trials AS t USING (trial_id)
WHERE a.sweep_id IN (:deep, :slow) AND t.rule = 'dfa' AND a.layer < t.layers
ORDER BY t.lr DESC, data, t.activation, t.seed, a.layer, a.step
