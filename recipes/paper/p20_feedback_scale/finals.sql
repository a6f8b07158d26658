SELECT activation, config #>> '{rule,feedback,distribution}' AS feedback,
    (config #>> '{rule,feedback,scale}')::double precision AS scale,
    lr, seed, diverged_at_step IS NOT NULL AS diverged,
    train_loss, test_accuracy, weight_alignment, weight_alignment_scaled
FROM v_trials
WHERE sweep_id = :scales
ORDER BY activation, feedback, scale, lr, seed
