SELECT t.data, t.config #>> '{model,init}' AS init, t.layers AS depth,
    t.config #>> '{rule,feedback,distribution}' AS feedback, t.seed, a.step,
    max(a.alignment_residual) AS residual
FROM v_alignment AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :forms AND a.alignment_residual IS NOT NULL
GROUP BY t.trial_id, t.data, init, t.layers, feedback, t.seed, a.step
ORDER BY t.data, init, depth, feedback, t.seed, a.step
