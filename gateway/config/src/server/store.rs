//! Where sessions, users and bindings live.

use crate::secret::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// What the address of a session store starts with.
pub(super) const REDIS: &[&str] =
    &["redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"];
/// What the address of a user store starts with.
pub(super) const POSTGRES: &[&str] = &["postgres://", "postgresql://"];

/// `[store]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The embedded SQLite file: sessions, users and bindings, as far as they live nowhere else.
    /// 内置的 SQLite 文件：保存未放到别处的会话、用户与绑定关系。
    #[schemars(extend("minLength" = 1))]
    pub path: PathBuf,
    /// When given, sessions live in this Redis: its address, or env:NAME, file:PATH or sealed:… that hold it. Besides
    /// redis://HOST:6379/0 there are redis+sentinel://HOST:26379,HOST:26379/PRIMARY/0 and
    /// redis+cluster://HOST:6379,HOST:6379; with rediss in place of redis, by TLS.
    /// 填写后会话存放在此 Redis：地址，或保存该地址的 env:变量名、file:路径、sealed:…。除 redis:// 外，还可用
    /// redis+sentinel://（哨兵）与 redis+cluster://（集群）；以 rediss 代替 redis 即用 TLS。
    ///
    /// Once loaded it is the address itself.
    #[schemars(description = SESSIONS)]
    pub sessions: Option<SecretRef>,
    /// When given, users live in this PostgreSQL: its address, or env:NAME, file:PATH or sealed:… that hold it.
    /// 填写后用户存放在此 PostgreSQL：地址，或保存该地址的 env:变量名、file:路径、sealed:…。
    ///
    /// Once loaded it is the address itself.
    #[schemars(description = USERS)]
    pub users: Option<SecretRef>,
    /// A read-only replica of users for look-ups: its address as above. It is asked only where its answer can't be stale.
    /// users 的只读副本，用于查询：地址写法同上。只在其答案不会过时之处使用。
    ///
    /// Once loaded it is the address itself.
    #[schemars(description = USERS_REPLICA)]
    pub users_replica: Option<SecretRef>,
    /// PEM file with the CAs that Redis and PostgreSQL are checked against by TLS, in place of the system's.
    /// PEM 文件：以 TLS 连接 Redis 与 PostgreSQL 时信任的 CA，代替系统自带的。
    #[schemars(extend("minLength" = 1))]
    pub ca_file: Option<PathBuf>,
    /// What every key in Redis starts with.
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

const SESSIONS: &str = "When given, sessions live in this Redis: its address, or env:NAME, file:PATH or sealed:… that hold it. Besides\nredis://HOST:6379/0 there are redis+sentinel://HOST:26379,HOST:26379/PRIMARY/0 and\nredis+cluster://HOST:6379,HOST:6379; with rediss in place of redis, by TLS.\n填写后会话存放在此 Redis：地址，或保存该地址的 env:变量名、file:路径、sealed:…。除 redis:// 外，还可用\nredis+sentinel://（哨兵）与 redis+cluster://（集群）；以 rediss 代替 redis 即用 TLS。";
const USERS_REPLICA: &str = "A read-only replica of users for look-ups: its address as above. It is asked only where its answer can't be stale.\nusers 的只读副本，用于查询：地址写法同上。只在其答案不会过时之处使用。";
const USERS: &str = "When given, users live in this PostgreSQL: its address, or env:NAME, file:PATH or sealed:… that hold it.\n填写后用户存放在此 PostgreSQL：地址，或保存该地址的 env:变量名、file:路径、sealed:…。";

fn prefix_expected() -> Value {
    serde_json::json!({
        "zh": "1 至 32 个小写字母、数字、_ 或 -",
        "en": "1 to 32 lower-case letters, digits, _ or -",
    })
}
