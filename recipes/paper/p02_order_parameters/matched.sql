-- How far Q, R and v come apart under the two rules, relative to how far backpropagation has moved them.
SELECT bp.activation, (bp.config #>> '{model,hidden,0}')::integer AS units, bp.seed, there.step,
    (there.step::double precision / (bp.config #>> '{data,inputs}')::integer) AS time,
    sqrt(sum((here.value - there.value) ^ 2) / sum((there.value - initial.value) ^ 2)) AS apart
FROM v_trials AS bp
JOIN v_trials AS dfa USING (sweep_id, seed)
JOIN v_order_parameters AS there ON there.trial_id = bp.trial_id
JOIN v_order_parameters AS here ON here.trial_id = dfa.trial_id
    AND (here.step, here.quantity, here.i, here.j) = (there.step, there.quantity, there.i, there.j)
JOIN v_order_parameters AS initial ON initial.trial_id = bp.trial_id AND initial.step = 0
    AND (initial.quantity, initial.i, initial.j) = (there.quantity, there.i, there.j)
WHERE bp.sweep_id = :matched AND bp.rule = 'bp' AND dfa.rule = 'dfa'
    AND bp.varied - 'rule.name' = dfa.varied - 'rule.name'
    AND there.quantity IN ('Q', 'R', 'v') AND there.step > 0
GROUP BY bp.trial_id, bp.activation, bp.config, bp.seed, there.step
ORDER BY bp.activation, units, bp.seed, there.step
