SELECT activation, seed, epochs,
    (varied ->> 'data.alpha')::double precision AS alpha,
    (varied ->> 'data.beta')::double precision AS beta,
    gradient_alignment, weight_alignment
FROM v_trials
WHERE sweep_id = :grid
ORDER BY activation, alpha, beta, seed
