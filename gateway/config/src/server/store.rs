//! The stores of sessions, users and bindings.

use crate::secret::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// Schemes of the address of a session store.
pub(super) const REDIS: &[&str] =
    &["redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"];
/// Schemes of the address of a user store.
pub(super) const POSTGRES: &[&str] = &["postgres://", "postgresql://"];

/// `[store]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Path of the embedded SQLite file. It holds the sessions, users and bindings that are not in another store.
    /// 内置 SQLite 文件的路径，保存未放到其他存储的会话、用户与绑定关系。
    #[schemars(extend("minLength" = 1))]
    pub path: PathBuf,
    /// If set, sessions are stored in this Redis: its address, or env:NAME, file:PATH or sealed:… with the address.
    /// Forms: redis://HOST:6379/0, redis+sentinel://HOST:26379,HOST:26379/PRIMARY/0, redis+cluster://HOST:6379,HOST:6379;
    /// with rediss instead of redis over TLS.
    /// 设置后会话存放在此 Redis：地址，或保存该地址的 env:变量名、file:路径、sealed:…。除 redis:// 外，还可用
    /// redis+sentinel://（哨兵）与 redis+cluster://（集群）；以 rediss 代替 redis 即使用 TLS。
    ///
    /// After loading, it is the address itself.
    #[schemars(description = SESSIONS)]
    pub sessions: Option<SecretRef>,
    /// If set, users are stored in this PostgreSQL: its address, or env:NAME, file:PATH or sealed:… with the address.
    /// 设置后用户存放在此 PostgreSQL：地址，或保存该地址的 env:变量名、file:路径、sealed:…。
    ///
    /// After loading, it is the address itself.
    #[schemars(description = USERS)]
    pub users: Option<SecretRef>,
    /// Read-only replica of users for look-ups, with an address as above. It is used only if its result cannot be stale.
    /// users 的只读副本，用于查询：地址写法同上。只在结果不会过时的情况下使用。
    ///
    /// After loading, it is the address itself.
    #[schemars(description = USERS_REPLICA)]
    pub users_replica: Option<SecretRef>,
    /// PEM file with the CA certificates for TLS connections to Redis and PostgreSQL. Default: the system's.
    /// PEM 文件：以 TLS 连接 Redis 与 PostgreSQL 时信任的 CA 证书；默认使用系统的。
    #[schemars(extend("minLength" = 1))]
    pub ca_file: Option<PathBuf>,
    /// Prefix of all keys in Redis.
    /// Redis 中所有键的前缀。
    #[schemars(extend("pattern" = "^[a-z0-9][a-z0-9_-]{0,31}$", "x-expected" = prefix_expected()))]
    pub prefix: String,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: "menlou.db".into(),
            sessions: None,
            users: None,
            users_replica: None,
            ca_file: None,
            prefix: "menlou".into(),
        }
    }
}

const SESSIONS: &str = "If set, sessions are stored in this Redis: its address, or env:NAME, file:PATH or sealed:… with the address.\nForms: redis://HOST:6379/0, redis+sentinel://HOST:26379,HOST:26379/PRIMARY/0, redis+cluster://HOST:6379,HOST:6379;\nwith rediss instead of redis over TLS.\n设置后会话存放在此 Redis：地址，或保存该地址的 env:变量名、file:路径、sealed:…。除 redis:// 外，还可用\nredis+sentinel://（哨兵）与 redis+cluster://（集群）；以 rediss 代替 redis 即使用 TLS。";
const USERS_REPLICA: &str = "Read-only replica of users for look-ups, with an address as above. It is used only if its result cannot be stale.\nusers 的只读副本，用于查询：地址写法同上。只在结果不会过时的情况下使用。";
const USERS: &str = "If set, users are stored in this PostgreSQL: its address, or env:NAME, file:PATH or sealed:… with the address.\n设置后用户存放在此 PostgreSQL：地址，或保存该地址的 env:变量名、file:路径、sealed:…。";

fn prefix_expected() -> Value {
    serde_json::json!({
        "zh": "1 至 32 个小写字母、数字、_ 或 -",
        "en": "1 to 32 lower-case letters, digits, _ or -",
    })
}
