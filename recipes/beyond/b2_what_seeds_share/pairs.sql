-- Cosines of all parameters of pairs of seeds, by what the seeds share.
SELECT p.rule, t.varied ->> 'model.init_seed' IS NOT NULL AS same_weights,
    t.varied ->> 'rule.feedback.seed' IS NOT NULL AS same_feedback,
    p.step, p.seed_a, p.seed_b, p.cosine
FROM v_parameter_cosines AS p
JOIN v_trials AS t ON t.trial_id = p.trial_a
WHERE p.sweep_id = :shared AND p.layer = 0 AND p.cosine IS NOT NULL
ORDER BY t.position, p.step, p.seed_a, p.seed_b
