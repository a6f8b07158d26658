-- Alignment of the hidden layers before training and at its end.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.lr, t.seed, a.layer, a.step,
    a.gradient_alignment
FROM v_alignment AS a
JOIN v_trials AS t USING (trial_id)
WHERE a.sweep_id IN (:deep, :slow) AND t.rule = 'dfa' AND a.layer < t.layers AND a.step IN (0, t.steps)
ORDER BY t.lr DESC, data, t.activation, t.seed, a.layer, a.step
