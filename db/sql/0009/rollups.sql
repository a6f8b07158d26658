-- Curves of groups whose sweep is over are kept, so that reading them does not read every trial's rows. A group of few
-- trials saves too little. A sweep that is retried loses them again.
CREATE FUNCTION settle_curves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.finished_at IS NOT NULL THEN
        INSERT INTO rollups_due (group_id)
        SELECT group_id FROM trials WHERE sweep_id = NEW.id GROUP BY group_id HAVING count(*) >= 4
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM rollups_due WHERE group_id IN (SELECT id FROM groups WHERE sweep_id = NEW.id);
        DELETE FROM group_curves WHERE group_id IN (SELECT id FROM groups WHERE sweep_id = NEW.id);
        DELETE FROM group_traces WHERE group_id IN (SELECT id FROM groups WHERE sweep_id = NEW.id);
        UPDATE groups SET rolled_up = false WHERE sweep_id = NEW.id AND rolled_up;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER curves_settle AFTER UPDATE OF finished_at ON sweeps
FOR EACH ROW WHEN ((OLD.finished_at IS NULL) <> (NEW.finished_at IS NULL)) EXECUTE FUNCTION settle_curves();
