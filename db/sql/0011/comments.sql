-- What model `theory` adds to the meaning of columns.
DO $$
DECLARE
    said record;
    columns CONSTANT jsonb := $json${
        "model": "Kind of network: mlp, cnn, committee, transformer; theory: equations of motion of a committee.",
        "generalisation_error": "Exact, of a committee that learns from a teacher of its kind, and of its theory."
    }$json$;
BEGIN
    FOR said IN
        SELECT relname AS view, attname AS name, columns ->> attname::text AS meaning
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace AND columns ? attname::text
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', said.view, said.name, said.meaning);
    END LOOP;
END
$$;
