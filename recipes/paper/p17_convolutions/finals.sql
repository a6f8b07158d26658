-- Accuracy at the end of every training.
SELECT coalesce(config #>> '{data,path}', data) AS data, model, rule, seed,
    varied ->> 'rule.feedback.scale' AS scale,
    coalesce(varied ->> 'rule.feedback.distribution', 'normal') AS distribution,
    train_accuracy, test_accuracy
FROM v_trials
WHERE sweep_id = :scales
ORDER BY position, seed
