CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    avatar_url    TEXT NOT NULL,
    account       TEXT,
    password_hash TEXT,
    phone         TEXT,
    external_id   TEXT,
    created_at    INTEGER NOT NULL, -- Unix milliseconds, as all times here
    updated_at    INTEGER NOT NULL,
    UNIQUE (tenant, account),
    UNIQUE (tenant, phone),
    UNIQUE (tenant, external_id)
) STRICT;

CREATE TABLE bindings (
    tenant     TEXT NOT NULL,
    platform   TEXT NOT NULL,
    openid     TEXT NOT NULL,
    unionid    TEXT,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, platform, openid)
) STRICT, WITHOUT ROWID;
CREATE INDEX bindings_user ON bindings (user_id);

CREATE TABLE sessions (
    tenant     TEXT NOT NULL,
    token      BLOB NOT NULL, -- SHA-256
    record     BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expires ON sessions (expires_at);

CREATE TABLE ephemeral (
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX ephemeral_expires ON ephemeral (expires_at);
