//! An action's settings in a tenant file: read once when the tenant is built, every fault told at its place.

use crate::{ffi, panic_guard};
use menlou_abi::*;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::{borrow::Cow, cell::Cell, ffi::c_void, fmt, time::Duration};

/// Settings of an action: a plain struct, deserialised from `[actions.<name>]`. Give it `#[serde(deny_unknown_fields)]`,
/// so that a misspelt key is a fault, and doc comments, which become its documentation.
///
/// An action without settings uses `()`.
pub trait Settings: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Tells what the types alone can't, with every fault at its place: `menlou validate` shows them with file, line and
    /// column.
    ///
    /// ```standalone_crate
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// struct Shop {
    ///     /// Where it opens.
    ///     opens: u8,
    ///     /// Where it closes.
    ///     closes: u8,
    /// }
    ///
    /// impl Settings for Shop {
    ///     fn check(&self, errors: &mut ConfigErrors) {
    ///         if self.closes <= self.opens {
    ///             errors.add("/closes", "应晚于 opens", "This comes after opens.");
    ///         }
    ///     }
    /// }
    ///
    /// async fn hours(call: &Call<Shop>, _: ()) -> Result<()> {
    ///     call.log(Level::Info, &format!("{} hours", call.settings().closes - call.settings().opens), &[]);
    ///     Ok(())
    /// }
    ///
    /// menlou_plugin::plugin! { name: "shop", actions: [Action::new("hours", hours)] }
    /// # fn main() {
    /// let host = Host::new().settings(json!({ "opens": 9, "closes": 8 }));
    /// assert_eq!(host.config_errors(plugin(), "hours")[0].0, "/closes");
    /// # }
    /// ```
    fn check(&self, errors: &mut ConfigErrors) {
        let _ = errors;
    }

    /// Makes ready what calls need of the gateway, once no fault is left: see [`Setup::upstream`].
    fn prepare(&mut self, setup: &Setup<'_>) {
        let _ = setup;
    }
}

impl Settings for () {}

/// What the gateway makes for an action's settings.
pub struct Setup<'a> {
    pub(crate) host: &'a menlou_host,
    pub(crate) raw: *mut menlou_setup,
    refused: Cell<bool>,
}

impl Setup<'_> {
    /// Remembers that the gateway refused something, and told why.
    pub(crate) fn refuse_if(&self, refused: bool) {
        self.refused.set(self.refused.get() || refused);
    }
}

impl fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// Where errors of settings are told, all at once.
#[derive(Debug, Default)]
pub struct ConfigErrors(pub(crate) Vec<(String, String, String)>);

impl ConfigErrors {
    /// A fault at a JSON pointer (`/delegate_url`; "" is the whole table), in Chinese and English; see
    /// [`Settings::check`].
    pub fn add(&mut self, pointer: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) {
        self.0.push((pointer.into(), zh.into(), en.into()));
    }
}

/// A text that is a secret: in the tenant file `env:NAME`, `file:PATH` or the literal; here the value. Never printed.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Partner {
///     /// What requests to the partner are signed with.
///     key: Secret,
/// }
///
/// let partner: Partner = serde_json::from_value(json!({ "key": "s3cret" })).unwrap();
/// assert_eq!(partner.key.expose(), "s3cret");
/// assert_eq!(format!("{partner:?}"), "Partner { key: Secret(…) }");
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret from its value, for tests.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "secret" })
    }
}

/// Where the gateway is to connect to, for this plugin: an `http` or `https` address. A tenant's own admin can't set it,
/// only an operator or the file: the gateway reaches what that admin must not, its own admin port or a store, say.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Partner {
///     /// Where the partner's service is.
///     service: Address,
/// }
///
/// let partner: Partner = serde_json::from_value(json!({ "service": "https://partner.example/api" })).unwrap();
/// assert_eq!(partner.service.as_str(), "https://partner.example/api");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "address" })
    }
}

/// A length of time, written as one number and one unit: `500ms`, `10s`, `5m`, `2h`, `7d`.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// use std::time::Duration;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct Limits {
///     /// How long a cart is kept.
///     keep: ConfigDuration,
/// }
///
/// impl Default for Limits {
///     fn default() -> Self {
///         Self { keep: ConfigDuration(Duration::from_secs(3600)) }
///     }
/// }
///
/// let limits: Limits = serde_json::from_value(json!({ "keep": "90m" })).unwrap();
/// assert_eq!(limits.keep.0, Duration::from_secs(5400));
/// assert_eq!(Limits::default().keep.to_string(), "1h");
/// assert!(serde_json::from_value::<Limits>(json!({ "keep": "1h30m" })).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigDuration(pub Duration);

/// The units, each with its milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl ConfigDuration {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        Some(Self(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*ms)?)))
    }
}

impl fmt::Display for ConfigDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let whole = |(_, unit): &&(&str, u64)| ms > 0 && ms.is_multiple_of(u128::from(*unit));
        let (name, unit) = UNITS.iter().rfind(whole).unwrap_or(if ms == 0 { &UNITS[1] } else { &UNITS[0] });
        write!(f, "{}{name}", ms / u128::from(*unit))
    }
}

/// As it is written in a file, so that schemas can tell it as a default.
impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected a length of time such as \"10s\" or \"5m\""))
    }
}

impl JsonSchema for ConfigDuration {
    fn schema_name() -> Cow<'static, str> {
        "ConfigDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$", "examples": ["10s", "5m"] })
    }
}

/// The setting `auth` of an action with [`Access::BySetting`](crate::Access::BySetting): who may call it, in one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Auth {
    /// 任何人；若带有会话令牌，令牌必须有效。Any caller; a session token, if sent, must be valid.
    Optional,
    /// 需要会话。A session is required.
    #[default]
    Session,
    /// 需要登录。A session of a logged-in user is required.
    Required,
}

/// The `configure` of an action with settings `S`.
///
/// # Safety
/// As the border says: `host` lives for ever, `setup` and the texts until this returns, `out` can be written.
pub(crate) unsafe extern "C" fn configure<S: Settings>(
    host: *const menlou_host,
    setup: *mut menlou_setup,
    _tenant: menlou_str,
    settings: menlou_str,
    out: *mut *mut c_void,
) -> i32 {
    panic_guard::run(|| {
        // SAFETY: borrowed until this returns.
        let json = unsafe { settings.bytes() };
        let mut errors = ConfigErrors::default();
        match read::<S>(json, &mut errors) {
            Some(mut ready) if errors.0.is_empty() => {
                // SAFETY: `host` lives for ever; `setup` is only handed back to it.
                let setup = Setup { host: unsafe { &*host }, raw: setup, refused: Cell::new(false) };
                ready.prepare(&setup);
                if setup.refused.get() {
                    return MENLOU_ERR_INVALID;
                }
                // SAFETY: `out` is the gateway's and can be written.
                unsafe { *out = Box::into_raw(Box::new(ready)).cast() };
                MENLOU_READY
            }
            _ => {
                for (pointer, zh, en) in &errors.0 {
                    // SAFETY: `host` and `setup` are valid here; the texts are copied.
                    unsafe { ((*host).config_error)(setup, ffi::str(pointer), ffi::str(zh), ffi::str(en)) };
                }
                MENLOU_ERR_INVALID
            }
        }
    })
}

/// The `release` that goes with it.
///
/// # Safety
/// `settings` came from [`configure`] with the same `S` and is not used any more.
pub(crate) unsafe extern "C" fn release<S: Settings>(settings: *mut c_void) {
    panic_guard::run(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(settings.cast::<S>()) });
        MENLOU_READY
    });
}

fn read<S: Settings>(json: &[u8], errors: &mut ConfigErrors) -> Option<S> {
    if let Ok(nothing) = serde_json::from_str::<S>("null")
        && size_of::<S>() == 0
    {
        return Some(nothing);
    }
    match serde_path_to_error::deserialize::<_, S>(&mut serde_json::Deserializer::from_slice(json)) {
        Ok(settings) => {
            settings.check(errors);
            Some(settings)
        }
        Err(e) => {
            let pointer = pointer_of(e.path());
            let why = e.inner().to_string();
            errors.add(pointer, format!("设置有误：{why}"), format!("This setting is wrong: {why}."));
            None
        }
    }
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_one_number_and_one_unit() {
        for (text, ms) in [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("s", None),
            ("10", None),
            ("1h30m", None),
            ("-1s", None),
            ("99999999999999999999s", None),
        ] {
            let read = ConfigDuration::parse(text);
            assert_eq!(read.map(|p| p.0.as_millis()), ms, "{text}");
            assert!(read.is_none_or(|p| p.to_string() == text), "{read:?}");
        }
        assert_eq!(ConfigDuration(Duration::from_secs(90)).to_string(), "90s");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret(…)");
    }
}
