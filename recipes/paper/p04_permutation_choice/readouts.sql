SELECT t.model, t.rule, t.seed, (t.config #>> '{model,init_scale}')::double precision AS init_scale, p.i AS unit,
    max(p.value) FILTER (WHERE p.step = 0) AS initial, max(p.value) FILTER (WHERE p.step = t.steps) AS final,
    (t.config #>> ARRAY['rule', 'feedback', 'values', '0', (p.i - 1)::text])::double precision AS feedback,
    t.generalisation_error
FROM v_trials AS t
JOIN v_order_parameters AS p USING (trial_id)
WHERE t.sweep_id IN (:theory, :simulation) AND p.quantity = 'v'
GROUP BY t.model, init_scale, t.rule, t.seed, p.i, feedback, t.generalisation_error
ORDER BY t.model, init_scale, t.rule, t.seed, p.i
