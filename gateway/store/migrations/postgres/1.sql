CREATE TABLE users (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    avatar_url    TEXT NOT NULL,
    account       TEXT,
    password_hash TEXT,
    phone         TEXT,
    external_id   TEXT,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (tenant, account),
    UNIQUE (tenant, phone),
    UNIQUE (tenant, external_id)
);

CREATE TABLE bindings (
    tenant     TEXT NOT NULL,
    platform   TEXT NOT NULL,
    openid     TEXT NOT NULL,
    unionid    TEXT,
    user_id    BIGINT NOT NULL REFERENCES users (id),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, platform, openid)
);
CREATE INDEX bindings_user ON bindings (user_id);
