-- Time is counted in samples per input dimension, times the learning rate.
-- a and b are per square root of the input dimension: |a|^2 is the sum of Q_kk over |F|^2, |b|^2 = A^T T A.
WITH starts AS MATERIALIZED (
    SELECT trial_id, quantity, i, j, value
    FROM v_order_parameters
    WHERE sweep_id IN (:theory, :simulation) AND step = 0 AND quantity IN ('A', 'T')
), teachers AS MATERIALIZED (
    SELECT overlap.trial_id, sqrt(sum(one.value * overlap.value * other.value)) AS b
    FROM starts AS overlap
    JOIN starts AS one ON (one.trial_id, one.quantity, one.i) = (overlap.trial_id, 'A', overlap.i)
    JOIN starts AS other ON (other.trial_id, other.quantity, other.i) = (overlap.trial_id, 'A', overlap.j)
    WHERE overlap.quantity = 'T'
    GROUP BY overlap.trial_id
), students AS MATERIALIZED (
    SELECT trial_id, step,
        sqrt(sum(value) FILTER (WHERE quantity = 'Q' AND i = j)) AS w,
        sqrt(sum(value ^ 2) FILTER (WHERE quantity = 'v')) AS v,
        sum(value ^ 2) FILTER (WHERE quantity = 'F') AS feedback_squared
    FROM v_order_parameters
    WHERE sweep_id IN (:theory, :simulation)
    GROUP BY trial_id, step
)
SELECT t.model, t.rule, (t.config #>> '{model,hidden,0}')::integer AS units, t.seed,
    c.step, t.lr * t.batch_size * c.epoch AS time,
    c.generalisation_error AS error, c.weight_alignment AS alignment,
    students.w, students.v, students.feedback_squared, teachers.b
FROM v_trials AS t
JOIN v_curves AS c USING (trial_id)
JOIN students ON (students.trial_id, students.step) = (c.trial_id, c.step)
JOIN teachers ON teachers.trial_id = t.trial_id
WHERE t.sweep_id IN (:theory, :simulation)
ORDER BY t.model, units, t.rule, t.seed, c.step
