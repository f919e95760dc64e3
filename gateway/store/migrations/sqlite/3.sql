-- What a change of a tenant file changes.
ALTER TABLE audit ADD COLUMN diff TEXT;
-- Entries may be deleted once they are older than the shortest retention, one month.
DROP TRIGGER audit_no_delete;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    WHEN OLD.at > (CAST(strftime('%s', 'now') AS INTEGER) - 28 * 86400) * 1000
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only for 28 days'); END;
