-- Of the students of three units. Time is counted in samples per input dimension.
WITH feedback AS MATERIALIZED (
    SELECT trial_id, count(*) FILTER (WHERE value > 0) AS positive
    FROM v_order_parameters
    WHERE sweep_id = :relu AND quantity = 'F' AND step = 0
    GROUP BY trial_id
)
SELECT t.seed, feedback.positive, c.epoch * t.batch_size AS time, c.generalisation_error AS error
FROM v_trials AS t
JOIN feedback USING (trial_id)
JOIN v_curves AS c USING (trial_id)
WHERE t.sweep_id = :relu AND t.hidden = '[3]'
ORDER BY t.seed, c.step
