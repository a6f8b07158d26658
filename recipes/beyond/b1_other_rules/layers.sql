-- Gradient alignment at the end, by hidden layer.
SELECT t.rule, t.lr, t.seed, a.layer, a.gradient_alignment
FROM v_alignment_final AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :rules AND t.rule <> 'bp' AND a.layer < t.layers
ORDER BY t.position, t.seed, a.layer
