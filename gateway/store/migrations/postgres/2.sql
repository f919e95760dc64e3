-- Version of an account, for conditional updates.
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

CREATE TABLE admin_tokens (
    id         TEXT PRIMARY KEY,
    hash       BYTEA NOT NULL, -- SHA-256
    role       TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at BIGINT NOT NULL, -- Unix milliseconds, as all times in this table and in audit
    expires_at BIGINT,
    used_at    BIGINT
);

CREATE TABLE audit (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     BIGINT NOT NULL,
    who    TEXT NOT NULL,
    role   TEXT NOT NULL,
    what   TEXT NOT NULL,
    tenant TEXT,
    target TEXT,
    before TEXT,
    after  TEXT,
    failed TEXT
);
CREATE INDEX audit_tenant ON audit (tenant, id);
CREATE FUNCTION menlou_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION menlou_append_only();
