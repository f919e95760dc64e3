-- What a change of a tenant file changes.
ALTER TABLE audit ADD COLUMN diff TEXT;
-- Entries may be deleted once they are older than the shortest retention, one month.
DROP TRIGGER audit_append_only ON audit;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION menlou_append_only();
CREATE FUNCTION menlou_keep_recent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.at > (extract(epoch FROM now())::bigint - 28 * 86400) * 1000 THEN
        RAISE EXCEPTION 'the audit log is append-only for 28 days';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_keep_recent BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION menlou_keep_recent();
