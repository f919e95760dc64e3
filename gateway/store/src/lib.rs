//! What outlives a request: sessions, short-lived shared values, users and their bindings, each behind a trait.

mod accounts;
mod admins;
mod cache;
pub mod clock;
mod guard;
mod postgres;
pub mod rate_limits;
mod redis;
pub mod session_record;
mod sqlite;

use async_trait::async_trait;
use menlou_error::codes;
use secrecy::SecretString;
use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::OnceCell;

pub use accounts::{AccountStore, BoundIdentity, Profile, ProfileQuery, UpdateOutcome};
pub use admins::{AdminStore, AdminToken, Deed, NewDeed};
pub use postgres::Postgres;
pub use redis::Redis;
pub use sqlite::Sqlite;

/// What lives where. Opening is [`Stores::open`].
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The SQLite file of what has no other place.
    pub path: PathBuf,
    /// The Redis of sessions and shared values, `redis://user:password@host:6379/0`; the file if not given.
    pub sessions: Option<SecretString>,
    /// The PostgreSQL of users and bindings, `postgres://user:password@host:5432/database`; the file if not given.
    pub users: Option<SecretString>,
    /// A read-only replica of `users`, `postgres://…`, for look-ups.
    pub users_replica: Option<SecretString>,
    /// The CAs, as PEM, that Redis and PostgreSQL are checked against by TLS, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// What our keys in Redis start with.
    pub prefix: String,
}

/// The open stores of a gateway.
#[derive(Clone)]
pub struct Stores {
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Short-lived values that replicas share.
    pub ephemeral: Arc<dyn EphemeralKv>,
    /// Users and bindings.
    pub users: Arc<dyn UserStore>,
    /// The same users and bindings, as those who look after them see them.
    pub accounts: Arc<dyn AccountStore>,
    /// The tokens of admins, and what admins did. They live beside the users, so that all replicas share them.
    pub admins: Arc<dyn AdminStore>,
    /// How often callers come, where replicas count together: with sessions in Redis.
    pub rate_limits: Option<Arc<dyn rate_limits::SharedRateLimiter>>,
}

impl Stores {
    /// Opens each store; takes a few seconds at most. A Redis or PostgreSQL that is away is no error: what needs it is
    /// [`Error::Unavailable`] until it comes. A URL that is none is, and so is a file that can't be opened; the text
    /// tells which and why, without credentials. The file is only touched where something lives in it.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        let file = OnceCell::new();
        let file = || file.get_or_try_init(|| async { Sqlite::open(&config.path).await.map(Arc::new) });
        let ca = match &config.ca_file {
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|e| Error::Unavailable(format!("cannot read the CA file {}: {e}", path.display())))?,
            ),
            None => None,
        };
        let redis = match &config.sessions {
            Some(url) => Some(Arc::new(Redis::open(url, ca.as_deref(), &config.prefix).await?)),
            None => None,
        };
        let (sessions, ephemeral): (Arc<dyn SessionStore>, Arc<dyn EphemeralKv>) = match &redis {
            Some(redis) => (redis.clone(), redis.clone()),
            None => (file().await?.clone(), file().await?.clone()),
        };
        let rate_limits = redis.map(|redis| redis as _);
        Ok(match &config.users {
            Some(url) => {
                let users = Arc::new(Postgres::open(url, config.users_replica.as_ref(), ca).await?);
                Self { sessions, ephemeral, users: users.clone(), accounts: users.clone(), admins: users, rate_limits }
            }
            None => {
                let users = file().await?.clone();
                Self { sessions, ephemeral, users: users.clone(), accounts: users.clone(), admins: users, rate_limits }
            }
        })
    }
}

/// What a session token stands for: one openid of one tenant. Whether that openid is logged in is not written here but
/// in its binding ([`UserStore::find`]), so that a log-in or an unbinding holds for all sessions of the openid at once.
#[derive(Debug)]
pub struct Session {
    /// Which platform the openid belongs to: `wechat`.
    pub platform: String,
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across the apps of one open-platform account, where the platform gave it.
    pub unionid: Option<String>,
    /// The platform's key for this person. It never leaves the gateway's stores.
    pub session_key: Option<SecretString>,
    /// Opened with a test openid instead of a code.
    pub test: bool,
    /// When it was opened, Unix seconds.
    pub created_at: u64,
    /// When it ends, Unix seconds.
    pub expires_at: u64,
}

/// SHA-256 of a session token: the only form in which a token is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// As 64 hex digits: the session's name for those who look after sessions. It opens nothing.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// Reads what [`TokenHash::hex`] wrote.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut token = Self([0; 32]);
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (at, byte) in token.0.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(token)
    }
}

/// Sessions by the hash of their token. A session past its `expires_at` is not found.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Keeps a session until its `expires_at`.
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()>;
    /// The session of this token in this tenant.
    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>>;
    /// Keeps this session in place of the one of this token; false, and nothing kept, where there is none (any more).
    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool>;
    /// Ends a session; false where there was none.
    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool>;
    /// How many sessions the tenant has.
    async fn count(&self, tenant: &str) -> Result<u64>;
    /// The sessions of one person, the newest first, [`MAX_LISTED`] at most.
    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>>;
    /// Ends all sessions of the tenant, a portion after the other; gives how many. Where it fails half-way, those that
    /// have ended stay so.
    async fn end_all(&self, tenant: &str) -> Result<u64>;
}

/// No more sessions of one person are listed at once.
pub const MAX_LISTED: u32 = 200;

/// Short-lived values that replicas share: exchanged codes, access tokens, counters of attempts. Keys are the
/// gateway's own (never raw input: hash it first), scoped to a tenant; every value has a life of 1 ms to 30 days, to
/// which a shorter or longer one is brought.
#[async_trait]
pub trait EphemeralKv: Send + Sync {
    /// Takes the key if nobody has it: true for the one who got it. The claim is a value like any other.
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<bool>;
    /// Sets the value, whatever was there.
    async fn put(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<()>;
    /// Reads the value, past any cache.
    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>>;
    /// Takes the value away.
    async fn remove(&self, tenant: &str, key: &str) -> Result<()>;
    /// Adds one to a counter and gives the sum; the count starts anew `window` after its first addition. The value of
    /// a counter is its sum in decimal digits; a key is either a counter's or a value's.
    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64>;
    /// Whether the store answers, for readiness.
    async fn ping(&self) -> Result<()>;
}

/// An account of a tenant, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// Unique over all tenants; positive.
    pub id: i64,
    /// The name to show; may be empty.
    pub name: String,
    /// The picture to show; may be empty.
    pub avatar_url: String,
}

/// Whom a binding is for: one openid on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `wechat`.
    pub platform: String,
    /// The person's id in this mini-program.
    pub openid: String,
    /// See [`Session::unionid`].
    pub unionid: Option<String>,
}

/// The account that an openid is to be bound to.
#[derive(Clone, Copy, Debug)]
pub enum AccountSelector<'a> {
    /// A new account; where the openid is bound already, that account as it is (so that a repeated request makes no second one).
    New {
        /// The name to show.
        name: &'a str,
        /// The picture to show.
        avatar_url: &'a str,
    },
    /// The account with this phone number, made if there is none. E.164, `+8613800138000`.
    Phone(&'a str),
    /// The account that the tenant's own login service knows by this id, made if there is none; name and picture are brought up to date.
    External {
        /// The service's id of the account.
        id: &'a str,
        /// The name to show.
        name: &'a str,
        /// The picture to show.
        avatar_url: &'a str,
    },
    /// An account whose credentials were checked.
    Existing(i64),
}

/// What a password log-in is checked against.
#[derive(Debug)]
pub struct PasswordCredentials {
    /// Whose they are.
    pub user: i64,
    /// PHC string of argon2id.
    pub password_hash: SecretString,
}

/// Accounts and the openids bound to them. An account may have several openids; an openid has at most one account per tenant.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// The account that this openid is bound to.
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>>;
    /// Binds the openid to the account, in one transaction, and gives the account. A binding to another account gives
    /// way, except for [`AccountSelector::New`]. `None` only where [`AccountSelector::Existing`] is no account of this tenant.
    /// Two that race for the same phone, external id or openid end with one account.
    async fn bind(&self, tenant: &str, identity: &Identity, account: AccountSelector<'_>) -> Result<Option<Arc<User>>>;
    /// Takes the binding of this openid away; false where there was none. The account stays.
    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool>;
    /// Changes what is given; `None` where the tenant has no such user.
    async fn update(
        &self,
        tenant: &str,
        user: i64,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Option<Arc<User>>>;
    /// The password hash of an account name.
    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<PasswordCredentials>>;
    /// Makes an account with a password; `None` where the account name is taken in this tenant.
    async fn add(
        &self,
        tenant: &str,
        account: &str,
        password_hash: &SecretString,
        name: &str,
        avatar_url: &str,
    ) -> Result<Option<Arc<User>>>;
    /// Whether the store answers, for readiness.
    async fn ping(&self) -> Result<()>;
}

/// Why a store did not serve.
#[derive(Debug)]
pub enum Error {
    /// It did not answer in time, or refused. The text is for the log: it holds no value and no credentials.
    Unavailable(String),
    /// The same, where the log has it already: it is known to be away, or refused a moment ago for the same reason.
    Down(String),
    /// It serves, but has more to do than it can: what has not begun yet is turned away. The text is for the log.
    Busy(String),
    /// What it holds can't be read. The text is for the log.
    Corrupt(String),
}

/// What a store's operation gives.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Debug for TokenHash {
    /// Not even the hash is printed: it is a key to a session's record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) | Self::Down(cause) => write!(f, "store unavailable: {cause}"),
            Self::Busy(cause) => write!(f, "store busy: {cause}"),
            Self::Corrupt(cause) => write!(f, "unreadable record in store: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the log has it already, or need not have it each time: a metric counts it.
    pub fn is_logged(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Busy(_))
    }
}

impl From<Error> for menlou_error::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::Unavailable(_) => Self::new(&codes::STORE_UNAVAILABLE).with_cause(e),
            Error::Down(_) => Self::new(&codes::STORE_UNAVAILABLE).with_cause(e).logged(),
            Error::Busy(_) => Self::new(&codes::OVERLOADED).with_cause(e).logged(),
            Error::Corrupt(_) => Self::new(&codes::INTERNAL_ERROR).with_cause(e),
        }
    }
}
