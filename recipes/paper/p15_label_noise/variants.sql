-- Trainings with noise on both splits beside those with noise on the training split alone, and how far they are apart.
SELECT both_splits.label_noise, both_splits.seed,
    (1 - both_splits.test_accuracy) - (1 - train_split.test_accuracy) AS more_test_error,
    max(abs(a.gradient_alignment - b.gradient_alignment)) AS apart
FROM v_trials AS both_splits
JOIN v_trials AS train_split
    ON train_split.sweep_id = :noise AND train_split.data = both_splits.data
    AND train_split.activation = both_splits.activation AND train_split.label_noise = both_splits.label_noise
    AND train_split.seed = both_splits.seed
JOIN v_alignment AS a ON a.trial_id = both_splits.trial_id
JOIN v_alignment AS b ON b.trial_id = train_split.trial_id AND b.layer = a.layer AND b.step = a.step
WHERE both_splits.sweep_id = :both
GROUP BY 1, 2, 3
ORDER BY 1, 2
