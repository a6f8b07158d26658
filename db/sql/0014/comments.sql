DO $$
DECLARE
    said record;
    columns CONSTANT jsonb := $json${
        "varied": "The axes of the sweep and this configuration's values on them, by dotted path.",
        "rule": "Learning rule: bp, fa, dfa, shallow, ...",
        "feedback_scale": "Scale of the feedback matrices: a number, or a word such as inv_sqrt_width; NULL where there are none (bp, shallow).",
        "low": "Lower end of the 95 % interval of the mean (Student's t); NULL for one trial.",
        "high": "Upper end of the 95 % interval of the mean."
    }$json$;
BEGIN
    FOR said IN
        SELECT relname AS view, attname AS name,
            coalesce(columns ->> attname::text, columns ->> substring(attname FROM '_(low|high)$')) AS meaning
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    LOOP
        CONTINUE WHEN said.meaning IS NULL;
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', said.view, said.name, said.meaning);
    END LOOP;
END
$$;
