//! The settings of an action in a tenant file. They are read once when the tenant is loaded; each error is reported at
//! its position.

use crate::{ffi, panic_guard};
use menlou_abi::*;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::{borrow::Cow, cell::Cell, ffi::c_void, fmt, time::Duration};

/// The settings of an action: a plain struct, deserialised from `[actions.<name>]`. Give it
/// `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error. Doc comments become the documentation.
///
/// An action without settings uses `()`.
pub trait Settings: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Checks what the types alone cannot express, and reports each error at its position. `menlou validate` shows file,
    /// line and column.
    ///
    /// ```standalone_crate
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// struct Shop {
    ///     /// Hour of opening.
    ///     opens: u8,
    ///     /// Hour of closing.
    ///     closes: u8,
    /// }
    ///
    /// impl Settings for Shop {
    ///     fn check(&self, errors: &mut ConfigErrors) {
    ///         if self.closes <= self.opens {
    ///             errors.add("/closes", "应晚于 opens", "This must be later than opens.");
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

    /// Prepares what calls need from the gateway. Called after `check` without errors. See [`Setup::upstream`].
    fn prepare(&mut self, setup: &Setup<'_>) {
        let _ = setup;
    }
}

impl Settings for () {}

/// The services of the gateway while settings are being prepared.
pub struct Setup<'a> {
    pub(crate) host: &'a menlou_host,
    pub(crate) raw: *mut menlou_setup,
    rejected: Cell<bool>,
}

impl Setup<'_> {
    /// Remembers that the gateway rejected something and reported the error.
    pub(crate) fn reject_if(&self, rejected: bool) {
        self.rejected.set(self.rejected.get() || rejected);
    }
}

impl fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// The errors of an action's settings.
#[derive(Debug, Default)]
pub struct ConfigErrors(pub(crate) Vec<(String, String, String)>);

impl ConfigErrors {
    /// Adds an error at a JSON pointer (`/delegate_url`; "" is the complete table), in Chinese and in English. See
    /// [`Settings::check`].
    pub fn add(&mut self, pointer: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) {
        self.0.push((pointer.into(), zh.into(), en.into()));
    }
}

/// A secret text. The tenant file has `env:NAME`, `file:PATH` or the literal; this is the value. `Debug` hides it.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Partner {
///     /// The key that signs requests to the partner.
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
    /// A secret with this value, for tests.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Never log it.
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

/// The `http` or `https` URL of a service that the gateway connects to for this plugin. Only an operator or the file can
/// set it, not a tenant's own admin: the gateway reaches services that the admin must not reach, such as its own admin
/// port or a store.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Partner {
///     /// URL of the partner's service.
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
    /// The URL as written in the file.
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

/// A duration, written as one number and one unit: `500ms`, `10s`, `5m`, `2h`, `7d`.
///
/// ```
/// use menlou_plugin::prelude::*;
/// use serde_json::json;
///
/// use std::time::Duration;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct CartSettings {
///     /// Lifetime of a cart.
///     keep: ConfigDuration,
/// }
///
/// impl Default for CartSettings {
///     fn default() -> Self {
///         Self { keep: ConfigDuration(Duration::from_secs(3600)) }
///     }
/// }
///
/// let settings: CartSettings = serde_json::from_value(json!({ "keep": "90m" })).unwrap();
/// assert_eq!(settings.keep.0, Duration::from_secs(5400));
/// assert_eq!(CartSettings::default().keep.to_string(), "1h");
/// assert!(serde_json::from_value::<CartSettings>(json!({ "keep": "1h30m" })).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigDuration(pub Duration);

/// The units and their length in milliseconds.
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

/// Serialised as in a file, so that a schema can show it as a default.
impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected a duration such as \"10s\" or \"5m\""))
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

/// The function `configure` of an action with settings `S`.
///
/// # Safety
/// The ABI's contract: `host` is valid until the process ends, `setup` and the texts until this returns, `out` is
/// writable.
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
            Some(mut settings) if errors.0.is_empty() => {
                // SAFETY: `host` is valid until the process ends; `setup` is only passed back to it.
                let setup = Setup { host: unsafe { &*host }, raw: setup, rejected: Cell::new(false) };
                settings.prepare(&setup);
                if setup.rejected.get() {
                    return MENLOU_ERR_INVALID;
                }
                // SAFETY: `out` is writable by the caller's contract.
                unsafe { *out = Box::into_raw(Box::new(settings)).cast() };
                MENLOU_READY
            }
            _ => {
                for (pointer, zh, en) in &errors.0 {
                    // SAFETY: `host` and `setup` are valid here; the gateway copies texts.
                    unsafe { ((*host).config_error)(setup, ffi::str(pointer), ffi::str(zh), ffi::str(en)) };
                }
                MENLOU_ERR_INVALID
            }
        }
    })
}

/// The function `release` of an action with settings `S`.
///
/// # Safety
/// `settings` came from [`configure`] with the same `S` and is not used afterwards.
pub(crate) unsafe extern "C" fn release<S: Settings>(settings: *mut c_void) {
    panic_guard::run(|| {
        // SAFETY: the caller's contract.
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
            let reason = e.inner().to_string();
            errors.add(pointer, format!("设置无效：{reason}"), format!("This setting is invalid: {reason}."));
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
    fn a_duration_is_one_number_and_one_unit() {
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
    fn debug_hides_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret(…)");
    }
}
