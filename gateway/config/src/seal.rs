//! Sealed secrets: encrypted with AES-256-GCM under an operator's key, and bound to a tenant and a field.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_error::text::Text;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use std::fmt;

/// Prefix of a key.
pub(super) const KEY: &str = "menlou-key-v1-";
/// Version of the format of sealed secrets.
const VERSION: &str = "v1";
/// Length of an AES-256 key, in bytes.
const KEY_LEN: usize = 32;
/// Length of a GCM tag, in bytes.
const TAG_LEN: usize = 16;

/// The field that holds a secret. A secret sealed for one field cannot be opened in another.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The tenant; `None` for the gateway's own config.
    pub tenant: Option<&'a str>,
    /// JSON pointer (RFC 6901) in the file.
    pub pointer: &'a str,
}

/// A sealed secret as a config contains it: `sealed:v1:KEY:…`, where KEY is the id of the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    key: String,
    /// Nonce, ciphertext and tag.
    bytes: Vec<u8>,
}

/// The operator's keys. The first key seals; every key opens.
pub struct Keys(Vec<Key>);

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

impl Field<'_> {
    /// The name of the field, such as `wechat.secret`.
    pub fn name(&self) -> String {
        let tokens = self.pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
        tokens.collect::<Vec<_>>().join(".")
    }

    /// The associated data of the field. Tenant names contain no NUL, so two fields never have the same data.
    fn bound(&self) -> Aad<Vec<u8>> {
        Aad::from(
            format!("menlou sealed {VERSION}\0{}\0{}", self.tenant.unwrap_or_default(), self.pointer).into_bytes(),
        )
    }
}

impl Sealed {
    /// Parses the text after `sealed:`.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn parse(written: &str) -> Result<Self, Text> {
        const FORM: Text = Text::fixed(
            "\"sealed:\" 之后不完整或有误；请用 menlou secret seal 重新生成",
            "the text after \"sealed:\" is incomplete or damaged; seal the secret again with menlou secret seal",
        );
        let (version, rest) = written.split_once(':').ok_or(FORM)?;
        if version != VERSION && version.starts_with('v') {
            return Err(Text::fixed(
                "这个密封值来自更新版本的 Menlou",
                "this secret was sealed by a newer version of Menlou",
            ));
        }
        let (key, encoded) = rest.split_once(':').filter(|_| version == VERSION).ok_or(FORM)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| FORM)?;
        let whole = bytes.len() > NONCE_LEN + TAG_LEN && key.len() == 8 && key.bytes().all(|b| b.is_ascii_hexdigit());
        if whole { Ok(Self { key: key.to_owned(), bytes }) } else { Err(FORM) }
    }

    /// The id of the key that opens it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Written as in a file: `sealed:v1:…`.
impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed:{VERSION}:{}:{}", self.key, URL_SAFE_NO_PAD.encode(&self.bytes))
    }
}

impl Keys {
    /// Generates a new key, in the format of a key file.
    ///
    /// # Errors
    /// The system provides no random numbers.
    pub fn generate() -> Result<SecretString, Text> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rand::fill(&mut *bytes)
            .map_err(|_| Text::fixed("系统无法提供随机数", "the system provides no random numbers"))?;
        let mut text = String::with_capacity(KEY.len() + 2 * KEY_LEN);
        text.push_str(KEY);
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        Ok(text.into())
    }

    /// Parses a key file: at least one key, separated by white space. The rest of a line after `#` is ignored.
    ///
    /// # Errors
    /// The text is malformed; the error names the line and shows none of its content.
    pub fn parse(text: &SecretString) -> Result<Self, Text> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in text.expose_secret().lines().enumerate() {
            let written = line.split_once('#').map_or(line, |(before, _)| before);
            for word in written.split_whitespace() {
                let key = Key::parse(word).ok_or_else(|| {
                    let line = number + 1;
                    Text::new(
                        format!("第 {line} 行不是密钥；密钥形如 {KEY}…，用 menlou secret keygen 生成"),
                        format!(
                            "line {line} is not a key; keys look like {KEY}…; generate one with menlou secret keygen"
                        ),
                    )
                })?;
                if keys.iter().all(|known| known.id != key.id) {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() {
            return Err(Text::fixed(
                "其中没有密钥；用 menlou secret keygen 生成",
                "it contains no key; generate one with menlou secret keygen",
            ));
        }
        Ok(Self(keys))
    }

    /// The ids of the keys, the sealing key first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Seals a secret for a field, with the first key.
    ///
    /// # Errors
    /// The system provides no random numbers.
    pub fn seal(&self, secret: &SecretString, field: Field<'_>) -> Result<Sealed, Text> {
        const FAILED: Text = Text::fixed("密封失败", "the secret could not be sealed");
        let key = self.0.first().ok_or(FAILED)?;
        let plain = secret.expose_secret().as_bytes();
        // Room for the tag, so that the buffer never grows and leaves a copy in freed memory.
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LEN));
        sealed.extend_from_slice(plain);
        let nonce = key.cipher.seal_in_place_append_tag(field.bound(), &mut *sealed).map_err(|_| FAILED)?;
        Ok(Sealed { key: key.id.clone(), bytes: [nonce.as_ref().as_slice(), &sealed].concat() })
    }

    /// Opens a secret that was sealed for this field.
    ///
    /// # Errors
    /// The key is not available, the secret was sealed for another field, or it is damaged.
    pub fn open(&self, sealed: &Sealed, field: Field<'_>) -> Result<SecretString, Text> {
        let Some(key) = self.0.iter().find(|key| key.id == sealed.key) else {
            let (wanted, known) = (&sealed.key, self.ids().collect::<Vec<_>>().join(", "));
            return Err(Text::new(
                format!("它用密钥 {wanted} 密封，而 [secrets] keys_file 中只有 {known}"),
                format!("it was sealed with the key {wanted}, but [secrets] keys_file has only {known}"),
            ));
        };
        let (nonce, sealed) = sealed.bytes.split_at(NONCE_LEN.min(sealed.bytes.len()));
        let mut plain = Zeroizing::new(sealed.to_vec());
        let opened = Nonce::try_assume_unique_for_key(nonce)
            .and_then(|nonce| key.cipher.open_in_place(nonce, field.bound(), &mut plain))
            .map_err(|_| elsewhere(field))?;
        std::str::from_utf8(opened).map(SecretString::from).map_err(|_| elsewhere(field))
    }
}

impl Key {
    fn parse(word: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LEN + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(word.strip_prefix(KEY)?, &mut *bytes).ok()?;
        let bytes = (length == KEY_LEN).then(|| &bytes[..KEY_LEN])?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"menlou key id\0");
        context.update(bytes);
        let id = hex::encode(&context.finish().as_ref()[..4]);
        Some(Self { id, cipher: RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()? })
    }
}

/// `Debug` shows the ids only.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// GCM cannot distinguish a wrong field from damaged data.
fn elsewhere(field: Field<'_>) -> Text {
    let name = field.name();
    match field.tenant {
        Some(tenant) => Text::new(
            format!(
                "这个密封值不是为租户 {tenant} 的 {name} 密封的（密封值不能挪到别的租户或字段），或已损坏；请用 menlou secret seal --tenant {tenant} --field {name} 重新密封"
            ),
            format!(
                "this was not sealed for {name} of tenant {tenant} (a sealed secret cannot be moved to another tenant or field), or it is damaged; seal it again: menlou secret seal --tenant {tenant} --field {name}"
            ),
        ),
        None => Text::new(
            format!(
                "这个密封值不是为网关配置的 {name} 密封的（密封值不能挪到别处），或已损坏；请用 menlou secret seal --field {name} 重新密封"
            ),
            format!(
                "this was not sealed for {name} of the gateway's config (a sealed secret cannot be moved to another field), or it is damaged; seal it again: menlou secret seal --field {name}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: Field<'_> = Field { tenant: Some("acme"), pointer: "/wechat/secret" };

    fn keys(count: usize) -> (Keys, String) {
        let text: String = (0..count).map(|_| format!("{}\n", Keys::generate().unwrap().expose_secret())).collect();
        (Keys::parse(&text.as_str().into()).unwrap(), text)
    }

    fn sealed(keys: &Keys) -> Sealed {
        keys.seal(&"hunter2-is-the-secret".into(), FIELD).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_in_its_own_field_only() {
        let (keys, _) = keys(1);
        let written = sealed(&keys).to_string();
        assert!(!written.contains("hunter2") && written.starts_with("sealed:v1:"), "{written}");
        let sealed = Sealed::parse(written.strip_prefix("sealed:").unwrap()).unwrap();
        assert_eq!(keys.open(&sealed, FIELD).unwrap().expose_secret(), "hunter2-is-the-secret");
        for field in [
            Field { tenant: Some("acm"), ..FIELD },
            Field { tenant: None, ..FIELD },
            Field { pointer: "/wechat/previous_secret", ..FIELD },
            Field { tenant: Some("acme\0/wechat"), pointer: "/secret" },
        ] {
            let message = keys.open(&sealed, field).unwrap_err();
            assert!(message.en.contains("was not sealed for"), "{message:?}");
        }
        let message = keys.open(&sealed, Field { tenant: Some("b"), pointer: "/actions/x~1y/0/key" }).unwrap_err();
        assert!(message.en.contains("menlou secret seal --tenant b --field actions.x/y.0.key"), "{}", message.en);
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let (keys, _) = keys(1);
        assert_ne!(sealed(&keys), sealed(&keys));
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let (old, old_text) = keys(1);
        let before = sealed(&old);
        let (_, new_text) = keys(1);
        let both = Keys::parse(&format!("# new\n{new_text}\n{old_text}{old_text}").as_str().into()).unwrap();
        assert_eq!(both.ids().count(), 2, "the same key twice is one");
        assert_eq!(both.ids().nth(1), old.ids().next());
        assert!(both.open(&before, FIELD).is_ok());
        let after = sealed(&both);
        assert_eq!(Some(after.key()), both.ids().next());
        let message = old.open(&after, FIELD).unwrap_err();
        assert!(message.en.contains(after.key()) && message.en.contains(before.key()), "{message:?}");
    }

    #[test]
    fn a_modified_sealed_secret_does_not_open() {
        let (keys, _) = keys(1);
        let good = sealed(&keys);
        for at in 0..good.bytes.len() {
            let mut bad = good.clone();
            bad.bytes[at] ^= 1;
            assert!(keys.open(&bad, FIELD).is_err(), "byte {at}");
        }
        for length in 0..good.bytes.len() {
            let bad = Sealed { key: good.key.clone(), bytes: good.bytes[..length].to_vec() };
            assert!(keys.open(&bad, FIELD).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn malformed_sealed_secrets_are_rejected() {
        for bad in
            ["", "abc", "v1:", "v1:00112233:", "v1:00112233:AAAA", "v1:0011:AAAA", "w1:00112233:AAAA", "v1:00112233:*"]
        {
            assert!(Sealed::parse(bad).unwrap_err().en.contains("incomplete or damaged"), "{bad}");
        }
        assert!(Sealed::parse("v2:whatever").unwrap_err().en.contains("newer"));
    }

    #[test]
    fn malformed_keys_are_reported_by_line_and_never_shown() {
        let key = Keys::generate().unwrap();
        let key = key.expose_secret();
        for (text, says) in [
            (String::new(), "contains no key"),
            ("# only a comment\n".into(), "contains no key"),
            (format!("{key}\nhunter2"), "line 2"),
            (key[..key.len() - 1].to_owned(), "line 1"),
            (format!("{key}AAAA"), "line 1"),
            (key.replace(KEY, "menlou-key-v9-"), "line 1"),
        ] {
            let message = Keys::parse(&text.as_str().into()).unwrap_err();
            assert!(
                message.en.contains(says) && !message.en.contains("hunter2") && !message.en.contains(key),
                "{message:?}"
            );
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let (keys, text) = keys(1);
        let shown = format!("{keys:?}");
        assert!(shown.len() < 20 && !text.contains(shown.trim_matches(['[', ']', '"'])), "{shown}");
    }
}
