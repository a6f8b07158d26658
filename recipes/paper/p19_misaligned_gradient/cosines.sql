SELECT t.lr, t.seed, a.step, avg(a.weight_gradient_alignment) AS cosine
FROM v_alignment AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :perturbed AND t.rule = 'dfa'
GROUP BY t.lr, t.seed, a.step
ORDER BY t.lr, t.seed, a.step
