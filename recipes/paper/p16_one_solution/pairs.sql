-- Cosines of the parameters of pairs of seeds, by layer (0: all) and step.
SELECT coalesce(t.config #>> '{data,path}', t.data) AS data, t.activation,
    CASE WHEN p.sweep_id = :control THEN 'dfa, own feedback' ELSE p.rule END AS rule,
    p.layer, p.step, p.seed_a, p.seed_b, p.cosine
FROM v_parameter_cosines AS p
JOIN v_trials AS t ON t.trial_id = p.trial_a
WHERE p.sweep_id IN (:deep, :control) AND p.cosine IS NOT NULL
ORDER BY data, t.activation, rule, p.layer, p.step, p.seed_a, p.seed_b
