//! The gateway's own secrets: the keys of sealed secrets, and the addresses of its stores.

use super::Merged;
use crate::config_error::{ConfigError, quoted};
use crate::keyring::Keyring;
use crate::seal::Keys;
use crate::secret::SecretRef;
use crate::sources::{Env, Sources};
use menlou_error::text::Text;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

/// `[secrets]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// The keys of sealed secrets: file:PATH or env:NAME, never a key itself. The first key seals, every key opens.
    /// 密封密钥：file:路径 或 env:变量名，不可直接写密钥。第一把用于密封，全部可用于解封。
    ///
    /// This is only the reference; [`Config::keyring`](super::Config::keyring) has the keys.
    #[schemars(description = KEYS)]
    pub keys_file: Option<SecretRef>,
}

const KEYS: &str = "The keys of sealed secrets: file:PATH or env:NAME, never a key itself. The first key seals, every key opens.\n密封密钥：file:路径 或 env:变量名，不可直接写密钥。第一把用于密封，全部可用于解封。";

impl Merged {
    /// The source of the seal keys. A key file may be created later; the keys in a variable must exist.
    pub(super) fn keyring(&self, env: Env<'_>) -> Result<Keyring, ConfigError> {
        const POINTER: &str = "/secrets/keys_file";
        let Some(reference) = self.reference(POINTER) else { return Ok(Keyring::default()) };
        let wrong = |text| self.error(POINTER, text, false);
        let none = Keyring::default();
        let sources = Sources::new(self.folder(POINTER), env, &none, None);
        match &reference {
            SecretRef::File(path) => Ok(Keyring::from_file(self.folder(POINTER).join(path))),
            SecretRef::Credential(name) => sources.credential(name).map(Keyring::from_file).map_err(wrong),
            SecretRef::Literal(_) if !self.variables.contains_key(POINTER) => Err(wrong(Text::fixed(
                "不要把密钥写在配置文件里：请写 \"file:路径\" 或 \"env:变量名\"",
                "a key must not be in the config: write \"file:PATH\" or \"env:NAME\"",
            ))),
            SecretRef::Sealed(_) => {
                Err(wrong(Text::fixed("密钥本身不能是密封值", "the keys cannot be sealed themselves")))
            }
            SecretRef::Literal(_) | SecretRef::Env(_) => {
                let keys = sources.resolve(&reference, POINTER).and_then(|text| Keys::parse(&text));
                keys.map(Keyring::from_keys).map_err(wrong)
            }
        }
    }

    /// Resolves the address of a store. It must start with one of `schemes`.
    pub(super) fn address(
        &self,
        pointer: &str,
        schemes: &[&str],
        env: Env<'_>,
        keyring: &Keyring,
    ) -> Result<Option<SecretRef>, ConfigError> {
        let Some(reference) = self.reference(pointer) else { return Ok(None) };
        let sources = Sources::new(self.folder(pointer), env, keyring, None);
        let secret = sources.resolve(&reference, pointer).map_err(|text| self.error(pointer, text, false))?;
        if schemes.iter().any(|s| secret.expose_secret().starts_with(s)) {
            return Ok(Some(SecretRef::Literal(secret)));
        }
        let (one, others) = (schemes[..schemes.len() - 1].join(", "), schemes[schemes.len() - 1]);
        let name = quoted(pointer.rsplit('/').next().unwrap_or_default());
        let text = Text::new(
            format!("{name} 的地址应以 {one} 或 {others} 开头"),
            format!("{name}: the address must start with {one} or {others}"),
        );
        Err(self.error(pointer, text, false))
    }

    /// Warnings about addresses in the file that contain a password.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        let has_password = |pointer: &&str| {
            let of_file = !self.variables.contains_key(*pointer);
            let written = self.reference(pointer).filter(|_| of_file);
            // An address may name several hosts, so it is not parsed as a URL.
            written.as_ref().and_then(SecretRef::literal).is_some_and(|address| {
                let authority = address.expose_secret().split_once("://").map_or("", |(_, rest)| rest);
                let authority = authority.split(['/', '?']).next().unwrap_or_default();
                authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
                    || address.expose_secret().contains("sentinel_password=")
            })
        };
        let pointers = ["/store/sessions", "/store/users", "/store/users_replica"];
        pointers
            .into_iter()
            .filter(has_password)
            .map(|pointer| self.error(pointer, SecretRef::LITERAL, false))
            .collect()
    }

    /// The reference at this pointer. Its syntax has been checked with the schema.
    fn reference(&self, pointer: &str) -> Option<SecretRef> {
        SecretRef::parse(self.value.pointer(pointer).and_then(Value::as_str)?).ok()
    }
}
