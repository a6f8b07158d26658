-- Accuracy at the end, at every learning rate.
SELECT rule, lr, seed, train_accuracy, test_accuracy
FROM v_trials
WHERE sweep_id = :rules
ORDER BY position, seed
