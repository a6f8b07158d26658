-- At the end of every training; `gradient_alignment` is the mean over hidden layers (of a Transformer: blocks).
SELECT t.model, t.rule, t.lr, coalesce(t.varied ->> 'rule.feedback.distribution', 'uniform') AS distribution, t.seed,
    t.train_accuracy, t.test_accuracy, avg(a.gradient_alignment) AS gradient_alignment
FROM v_trials AS t
JOIN v_alignment_final AS a USING (trial_id)
WHERE t.sweep_id = :kinds AND a.layer < t.layers
GROUP BY t.trial_id, t.position, t.model, t.rule, t.lr, t.varied, t.seed, t.train_accuracy, t.test_accuracy
ORDER BY t.position, t.seed
