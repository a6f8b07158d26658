-- Alignment of every hidden layer at the end, by width.
SELECT t.activation, (t.config #>> '{model,hidden,0}')::bigint AS width, a.layer,
    avg(a.gradient_alignment) AS gradient_alignment, stddev_samp(a.gradient_alignment) AS gradient_alignment_sd
FROM v_alignment_final AS a
JOIN v_trials AS t USING (trial_id)
WHERE a.sweep_id = :widths AND a.layer < t.layers
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
