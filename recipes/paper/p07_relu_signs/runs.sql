WITH feedback AS MATERIALIZED (
    SELECT trial_id, count(*) FILTER (WHERE value > 0) AS positive
    FROM v_order_parameters
    WHERE sweep_id = :relu AND quantity = 'F' AND step = 0
    GROUP BY trial_id
), lowest AS MATERIALIZED (
    SELECT trial_id, min(generalisation_error) AS error
    FROM v_curves
    WHERE sweep_id = :relu
    GROUP BY trial_id
)
SELECT t.seed, (t.config #>> '{model,hidden,0}')::integer AS units,
    (t.config #>> '{data,teacher,hidden}')::integer AS needed, t.epochs * t.batch_size AS time,
    feedback.positive, lowest.error
FROM v_trials AS t
JOIN feedback USING (trial_id)
JOIN lowest USING (trial_id)
WHERE t.sweep_id = :relu
ORDER BY units, t.seed
