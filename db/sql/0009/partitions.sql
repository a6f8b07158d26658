-- Traces lie in partitions of 16384 trials each, in a schema that only the owner sees. Trials of a sweep have ids in a
-- row, so old sweeps lie together: their measurements leave with their partition, and nobody's index grows for ever.
CREATE SCHEMA partitions;

ALTER TABLE traces SET SCHEMA partitions;
ALTER TABLE partitions.traces RENAME CONSTRAINT pk_traces TO pk_traces_first;
ALTER TABLE partitions.traces RENAME TO traces_first;

CREATE TABLE traces (LIKE partitions.traces_first, CONSTRAINT pk_traces PRIMARY KEY (trial_id, step, layer))
PARTITION BY RANGE (trial_id);

-- What was recorded before stays where it is: it becomes the first partition, up to the next multiple of the width.
DO $$
DECLARE
    newest bigint := (SELECT coalesce(max(id), 0) FROM trials);
    number bigint := newest / 16384;
BEGIN
    EXECUTE format('ALTER TABLE partitions.traces_first RENAME CONSTRAINT pk_traces_first TO pk_traces_%s', number);
    EXECUTE format('ALTER TABLE partitions.traces_first RENAME TO traces_%s', number);
    EXECUTE format('ALTER TABLE traces ATTACH PARTITION partitions.traces_%s FOR VALUES FROM (MINVALUE) TO (%s)',
        number, (number + 1) * 16384);
END
$$;

-- New trials find a partition: number n is for the ids from 16384 n on. Attaching one holds up neither who records nor
-- who reads; two that attach take turns.
CREATE FUNCTION make_room_for_traces() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest CONSTANT bigint := (SELECT last_value FROM trials_id_seq) / 16384;
    number bigint := newest;
BEGIN
    IF to_regclass('partitions.traces_' || newest) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    LOCK TABLE traces IN SHARE UPDATE EXCLUSIVE MODE;
    WHILE number >= 0 AND to_regclass('partitions.traces_' || number) IS NULL LOOP
        EXECUTE format('CREATE TABLE partitions.traces_%s (LIKE traces INCLUDING ALL)', number);
        EXECUTE format('ALTER TABLE traces ATTACH PARTITION partitions.traces_%s FOR VALUES FROM (%s) TO (%s)',
            number, number * 16384, (number + 1) * 16384);
        number := number - 1;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER traces_have_room AFTER INSERT ON trials
FOR EACH STATEMENT EXECUTE FUNCTION make_room_for_traces();
