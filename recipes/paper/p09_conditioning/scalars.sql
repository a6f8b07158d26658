SELECT t.config #>> '{rule,feedback,distribution}' AS feedback, t.layers AS depth, t.seed,
    min(a.weight_alignment) AS weight_alignment
FROM v_alignment_final AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :forms AND t.data = 'teacher' AND a.layer > 1
GROUP BY t.trial_id, feedback, t.layers, t.seed
ORDER BY feedback, depth, t.seed
