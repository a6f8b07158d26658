SELECT rule, config #>> '{rule,perturbation,kind}' AS kind,
    (config #>> '{rule,perturbation,size}')::double precision AS size,
    lr, seed, train_loss, train_accuracy, test_accuracy
FROM v_trials
WHERE sweep_id = :perturbed
ORDER BY lr, rule, kind, size, seed
