SELECT t.activation, t.config #>> '{rule,feedback,distribution}' AS feedback,
    (t.config #>> '{rule,feedback,scale}')::double precision AS scale,
    t.lr, t.seed, a.layer, a.weight_alignment, a.gradient_alignment
FROM v_alignment_final AS a
JOIN v_trials AS t USING (trial_id)
WHERE t.sweep_id = :scales
ORDER BY t.activation, feedback, scale, t.lr, t.seed, a.layer
