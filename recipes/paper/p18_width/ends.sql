-- Alignment and errors at the end, by width of the hidden layers.
SELECT activation, (config #>> '{model,hidden,0}')::bigint AS width, seed,
    gradient_alignment, 1 - train_accuracy AS train_error, 1 - test_accuracy AS test_error
FROM v_trials
WHERE sweep_id = :widths
ORDER BY activation, width, seed
