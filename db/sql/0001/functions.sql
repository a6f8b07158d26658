-- The 97.5 % quantile of Student's t: half-width of a 95 % interval of a mean, in standard errors.
-- Exact below five degrees of freedom, else the Cornish-Fisher expansion (relative error below 2e-4).
CREATE OR REPLACE FUNCTION student_t_975(degrees_of_freedom bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT AS $$
    SELECT CASE degrees_of_freedom
        WHEN 0 THEN NULL
        WHEN 1 THEN 12.70620474
        WHEN 2 THEN 4.30265273
        WHEN 3 THEN 3.18244631
        WHEN 4 THEN 2.77644511
        ELSE 1.95996398
            + 2.37227135 / degrees_of_freedom
            + 2.82250011 / degrees_of_freedom ^ 2
            + 2.55585011 / degrees_of_freedom ^ 3
            + 1.58950067 / degrees_of_freedom ^ 4
    END
$$;
