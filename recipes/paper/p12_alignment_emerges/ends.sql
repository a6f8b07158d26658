-- How each training ended.
SELECT coalesce(config #>> '{data,path}', data) AS data, activation, lr, rule, seed,
    1 - train_accuracy AS train_error, 1 - test_accuracy AS test_error
FROM v_trials
WHERE sweep_id IN (:deep, :slow)
ORDER BY lr DESC, data, activation, rule, seed
