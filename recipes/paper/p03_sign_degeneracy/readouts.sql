SELECT t.model, t.rule, t.seed, (t.config #>> '{model,init_scale}')::double precision AS init_scale,
    final.i AS unit, initial.value AS initial, final.value AS final,
    (t.config #>> ARRAY['rule', 'feedback', 'values', '0', (final.i - 1)::text])::double precision AS feedback,
    t.generalisation_error
FROM v_trials AS t
JOIN v_order_parameters AS initial ON initial.trial_id = t.trial_id AND initial.step = 0 AND initial.quantity = 'v'
JOIN v_order_parameters AS final ON final.trial_id = t.trial_id AND final.step = t.steps
    AND (final.quantity, final.i) = (initial.quantity, initial.i)
WHERE t.sweep_id IN (:theory, :simulation)
ORDER BY t.model, init_scale, t.rule, t.seed, final.i
