-- What users' SQL must not do. Whatever has effects is volatile, so the reader runs no volatile function but these.
-- Only a superuser can take such rights back; the doctor tells where they are left.
DO $$
DECLARE
    harmless CONSTANT text[] := ARRAY[
        'array_sample', 'array_shuffle', 'clock_timestamp', 'current_query', 'gen_random_uuid', 'random',
        'random_normal', 'timeofday', 'uuidv4', 'uuidv7', 'pg_database_size', 'pg_export_snapshot', 'pg_indexes_size',
        'pg_is_in_recovery', 'pg_partition_ancestors', 'pg_partition_tree', 'pg_relation_size', 'pg_table_size',
        'pg_tablespace_size', 'pg_total_relation_size'
    ];
    harmful CONSTANT text[] := ARRAY[ -- though not volatile: they run SQL from text, take ids, or show others' queries
        'table_to_xml', 'table_to_xmlschema', 'table_to_xml_and_xmlschema', 'schema_to_xml', 'schema_to_xmlschema',
        'schema_to_xml_and_xmlschema', 'database_to_xml', 'database_to_xmlschema', 'database_to_xml_and_xmlschema',
        'pg_current_xact_id', 'txid_current', 'pg_stat_get_activity', 'pg_stat_get_backend_activity'
    ];
    refused text;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE WARNING 'not a superuser: rights of the reader on functions stay as they are; see docs/sql.md';
        RETURN;
    END IF;
    FOR refused IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')
            AND (provolatile = 'v' AND proname <> ALL(harmless) OR proname = ANY(harmful))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', refused);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO CURRENT_USER', refused);
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    ALTER ROLE alignsweep_reader CONNECTION LIMIT 30;
    ALTER ROLE alignsweep_reader SET temp_file_limit = '1GB';
    ALTER ROLE alignsweep_reader SET default_transaction_read_only = on;
    ALTER ROLE alignsweep_reader SET idle_in_transaction_session_timeout = '10min';
    ALTER ROLE alignsweep_reader SET client_connection_check_interval = '2s';
EXCEPTION WHEN SQLSTATE 'XX000' THEN
    RAISE NOTICE 'another migration set the same'; -- "tuple concurrently updated": the role belongs to the whole server
END
$$;

-- The rows of one query as text, each in PostgreSQL's notation of a record, and no more of them than fit: NULL in the
-- place of a row says that there are more. The question is data here: it runs with the rights of who asks. What a
-- huge value or a huge message would need stays on this side. Each row counts `row_bytes` beyond its text.
CREATE FUNCTION answer(question text, max_rows bigint, max_bytes bigint, row_bytes bigint) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    found_rows refcursor;
    line record;
    written text;
    room bigint := max_bytes;
    told text;
    hinted text;
BEGIN
    OPEN found_rows NO SCROLL FOR EXECUTE question;
    FOR seen IN 0..max_rows LOOP
        FETCH found_rows INTO line;
        EXIT WHEN NOT FOUND;
        IF seen < max_rows THEN
            written := line::text;
            room := room - octet_length(written) - row_bytes;
            IF room < 0 AND seen = 0 THEN
                RAISE EXCEPTION 'the first row of the answer is larger than % bytes', max_bytes
                    USING ERRCODE = 'program_limit_exceeded';
            END IF;
        END IF;
        IF seen = max_rows OR room < 0 THEN
            RETURN NEXT NULL;
            EXIT;
        END IF;
        RETURN NEXT written;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS told = MESSAGE_TEXT, hinted = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = left(told, 2000), HINT = left(hinted, 2000);
END
$$;
REVOKE EXECUTE ON FUNCTION answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION answer TO alignsweep_reader;
