-- Curves from the step of the change on, of all four schedules; `gradient_alignment` is that of direct feedback.
SELECT c.rule, t.config #>> '{rule,switch,to}' AS "to", t.seed, c.step, c.train_loss, c.test_accuracy, c.gradient_alignment,
    max((t.config #>> '{rule,switch,at_step}')::bigint) OVER () AS changed_at
FROM v_curves AS c
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :switch
ORDER BY t.position, t.seed, c.step
