-- Gradient alignment of every hidden layer at every trace point, by the share of labels drawn at random.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation, t.label_noise, t.seed, a.layer, a.step,
    a.gradient_alignment
FROM v_alignment AS a
JOIN v_trials AS t USING (trial_id)
WHERE a.sweep_id IN (:clean, :noise) AND t.rule = 'dfa' AND a.layer < t.layers
ORDER BY data, t.activation, t.label_noise, t.seed, a.layer, a.step
