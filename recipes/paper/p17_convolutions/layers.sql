-- Alignment at the end, by hidden layer, of what direct feedback trained.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.model, t.seed, a.layer,
    t.varied ->> 'rule.feedback.scale' AS scale,
    coalesce(t.varied ->> 'rule.feedback.distribution', 'normal') AS distribution,
    a.gradient_alignment, a.weight_alignment
FROM v_alignment_final AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :scales AND t.rule = 'dfa' AND a.layer < t.layers
ORDER BY t.position, t.seed, a.layer
