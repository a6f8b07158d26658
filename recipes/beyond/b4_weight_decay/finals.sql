-- The readout's alignment with the feedback, at the end.
SELECT t.sweep_id = :width AS without_decay, (t.hidden::jsonb ->> 0)::bigint AS width,
    (t.config #>> '{train,weight_decay}')::double precision AS decay, t.seed, t.train_accuracy, t.test_accuracy,
    a.weight_alignment
FROM v_trials AS t
JOIN v_alignment_final AS a USING (trial_id)
WHERE t.sweep_id IN (:width, :decay) AND a.layer = t.layers
ORDER BY without_decay, t.position, t.seed
