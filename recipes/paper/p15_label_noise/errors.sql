-- Training error against the step.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.label_noise, c.step,
    avg(1 - c.train_accuracy) AS train_error, stddev_samp(c.train_accuracy) AS train_error_sd
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
WHERE c.sweep_id IN (:clean, :noise) AND t.rule = 'dfa'
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
