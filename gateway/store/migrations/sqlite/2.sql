-- The identity of each session, for admins.
ALTER TABLE sessions ADD COLUMN platform TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN openid TEXT NOT NULL DEFAULT '';
UPDATE sessions SET
    platform = coalesce(json_extract(CAST(record AS TEXT), '$.platform'), ''),
    openid = coalesce(json_extract(CAST(record AS TEXT), '$.openid'), '')
    WHERE json_valid(CAST(record AS TEXT));
CREATE INDEX sessions_identity ON sessions (tenant, platform, openid, expires_at);

-- Version of an account, for conditional updates.
ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE admin_tokens (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL, -- SHA-256
    role       TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    role   TEXT NOT NULL,
    what   TEXT NOT NULL,
    tenant TEXT,
    target TEXT,
    before TEXT,
    after  TEXT,
    failed TEXT
) STRICT;
CREATE INDEX audit_tenant ON audit (tenant, id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
