-- Time is counted in samples per input dimension, times the learning rate.
-- a and b are per square root of the input dimension: |a|^2 is the mean of Q_kk over F_k^2, |b|^2 = A^T T A.
WITH trials AS (
    SELECT trial_id, model, rule, seed, lr * batch_size AS pace, (config #>> '{model,hidden,0}')::integer AS units
    FROM v_trials
    WHERE sweep_id IN (:theory, :simulation)
), teachers AS (
    SELECT T.trial_id, sum(A.value * T.value * B.value) AS b_squared
    FROM v_order_parameters AS T
    JOIN v_order_parameters AS A ON A.trial_id = T.trial_id AND A.step = 0 AND A.quantity = 'A' AND A.i = T.i
    JOIN v_order_parameters AS B ON B.trial_id = T.trial_id AND B.step = 0 AND B.quantity = 'A' AND B.i = T.j
    WHERE T.sweep_id IN (:theory, :simulation) AND T.quantity = 'T' AND T.step = 0
    GROUP BY T.trial_id
), students AS (
    SELECT trial_id, step,
        sum(value) FILTER (WHERE quantity = 'Q' AND i = j) AS w_squared,
        sum(value ^ 2) FILTER (WHERE quantity = 'v') AS v_squared,
        sum(value ^ 2) FILTER (WHERE quantity = 'F') AS feedback_squared
    FROM v_order_parameters
    WHERE sweep_id IN (:theory, :simulation)
    GROUP BY trial_id, step
)
SELECT t.model, t.rule, t.units, t.seed, c.step, t.pace * c.epoch AS time,
    c.generalisation_error AS error, c.weight_alignment AS alignment,
    sqrt(s.w_squared) AS w, sqrt(s.v_squared) AS v, s.feedback_squared, sqrt(teachers.b_squared) AS b
FROM trials AS t
JOIN v_curves AS c USING (trial_id)
JOIN students AS s USING (trial_id, step)
JOIN teachers USING (trial_id)
ORDER BY t.model, t.units, t.rule, t.seed, c.step
