-- At the end of every training; `gradient_alignment` is the mean over hidden layers, NULL rank is full.
SELECT (t.varied ->> 'rule.feedback.rank')::bigint AS rank, t.varied ->> 'rule.feedback.scale' AS scale, t.seed,
    t.train_accuracy, t.test_accuracy, avg(a.gradient_alignment) AS gradient_alignment
FROM v_trials AS t
JOIN v_alignment_final AS a USING (trial_id)
WHERE t.sweep_id = :ranks AND a.layer < t.layers
GROUP BY t.trial_id, t.position, t.varied, t.seed, t.train_accuracy, t.test_accuracy
ORDER BY t.position, t.seed
