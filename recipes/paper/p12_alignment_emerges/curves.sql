-- Means and standard deviations over seeds at every trace point.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.lr, t.rule, c.step,
    avg(1 - c.train_accuracy) AS train_error, stddev_samp(c.train_accuracy) AS train_error_sd,
    avg(c.gradient_alignment) AS gradient_alignment, stddev_samp(c.gradient_alignment) AS gradient_alignment_sd,
    avg(c.weight_alignment) AS weight_alignment, stddev_samp(c.weight_alignment) AS weight_alignment_sd
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
WHERE c.sweep_id IN (:deep, :slow)
GROUP BY 1, 2, 3, 4, 5
ORDER BY lr DESC, 1, 2, 4, 5
