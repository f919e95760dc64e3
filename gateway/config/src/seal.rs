//! Sealed secrets: AES-256-GCM under a key of the operator's, bound to the tenant and the field that they stand in.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_error::text::Text;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use std::fmt::{self, Write as _};

/// What a key starts with.
const KEY: &str = "menlou-key-v1-";
/// The version of what is sealed here.
const VERSION: &str = "v1";
/// AES-256's, in bytes.
const KEY_LEN: usize = 32;
/// GCM's, in bytes.
const TAG_LEN: usize = 16;

/// The place of a secret: what is sealed for it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The tenant; `None` in the gateway's own config.
    pub tenant: Option<&'a str>,
    /// The RFC 6901 pointer in the file.
    pub pointer: &'a str,
}

/// A sealed secret as it stands in a config: `sealed:v1:KEY:…`, KEY being the id of the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    key: String,
    /// Nonce, ciphertext, tag.
    bytes: Vec<u8>,
}

/// The operator's keys: the first seals, all open.
pub struct Keys(Vec<Key>);

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

impl Field<'_> {
    /// As people write it: `wechat.secret`.
    pub fn name(&self) -> String {
        let tokens = self.pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
        tokens.collect::<Vec<_>>().join(".")
    }

    /// A NUL is in no tenant's name, so that no two fields come to the same.
    fn bound(&self) -> Aad<Vec<u8>> {
        Aad::from(
            format!("menlou sealed {VERSION}\0{}\0{}", self.tenant.unwrap_or_default(), self.pointer).into_bytes(),
        )
    }
}

impl Sealed {
    /// Reads what stands after `sealed:`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(written: &str) -> Result<Self, Text> {
        const FORM: Text = Text::fixed(
            "\"sealed:\" 之后不完整或有误；请用 menlou secret seal 重新生成",
            "what stands after \"sealed:\" is incomplete or damaged; make it anew with menlou secret seal",
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

/// `sealed:v1:…`, as it is written into a file.
impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed:{VERSION}:{}:{}", self.key, URL_SAFE_NO_PAD.encode(&self.bytes))
    }
}

impl Keys {
    /// A new key, as it is written into a file of keys.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn generate() -> Result<SecretString, Text> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rand::fill(&mut *bytes).map_err(|_| Text::fixed("系统未能给出随机数", "the system gives no random numbers"))?;
        let mut text = String::with_capacity(KEY.len() + 2 * KEY_LEN);
        text.push_str(KEY);
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        Ok(text.into())
    }

    /// Reads keys: one at least, white space between them; what follows a `#` in its line is skipped.
    ///
    /// # Errors
    /// What is wrong, and in which line, without any of it.
    pub fn parse(text: &SecretString) -> Result<Self, Text> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in text.expose_secret().lines().enumerate() {
            let written = line.split_once('#').map_or(line, |(before, _)| before);
            for word in written.split_whitespace() {
                let key = Key::parse(word).ok_or_else(|| {
                    let line = number + 1;
                    Text::new(
                        format!("第 {line} 行不是密钥；密钥形如 {KEY}…，用 menlou secret key 生成"),
                        format!("line {line} is no key; keys look like {KEY}…, and menlou secret key makes them"),
                    )
                })?;
                if keys.iter().all(|known| known.id != key.id) {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() {
            return Err(Text::fixed(
                "其中没有密钥；用 menlou secret key 生成",
                "there is no key in it; menlou secret key makes one",
            ));
        }
        Ok(Self(keys))
    }

    /// The ids: the first is that of the key that seals.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Seals a secret for a field, under the first key.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn seal(&self, secret: &SecretString, field: Field<'_>) -> Result<Sealed, Text> {
        const FAILED: Text = Text::fixed("密封失败", "the secret could not be sealed");
        let key = self.0.first().ok_or(FAILED)?;
        let plain = secret.expose_secret().as_bytes();
        // Room for the tag, so that nothing is moved and left behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LEN));
        sealed.extend_from_slice(plain);
        let nonce = key.cipher.seal_in_place_append_tag(field.bound(), &mut *sealed).map_err(|_| FAILED)?;
        Ok(Sealed { key: key.id.clone(), bytes: [nonce.as_ref().as_slice(), &sealed].concat() })
    }

    /// Opens what was sealed for this field.
    ///
    /// # Errors
    /// That its key is not there, or that it is another field's, or damaged.
    pub fn open(&self, sealed: &Sealed, field: Field<'_>) -> Result<SecretString, Text> {
        let Some(key) = self.0.iter().find(|key| key.id == sealed.key) else {
            let (wanted, known) = (&sealed.key, self.ids().collect::<Vec<_>>().join(", "));
            return Err(Text::new(
                format!("它用密钥 {wanted} 密封，而 [secrets] keys 中只有 {known}"),
                format!("it is sealed under the key {wanted}, and [secrets] keys has only {known}"),
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
        let id = context.finish().as_ref()[..4].iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Some(Self { id, cipher: RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()? })
    }
}

/// Its `Debug` shows the ids only.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// GCM can't tell the one from the other.
fn elsewhere(field: Field<'_>) -> Text {
    let name = field.name();
    match field.tenant {
        Some(tenant) => Text::new(
            format!(
                "这个密封值不是为租户 {tenant} 的 {name} 密封的（密封值不能挪到别的租户或字段），或已损坏；请用 menlou secret seal --tenant {tenant} --field {name} 重新密封"
            ),
            format!(
                "this was sealed for another place than {name} of the tenant {tenant} (a sealed secret can't be moved to another tenant or field), or it is damaged; seal it anew: menlou secret seal --tenant {tenant} --field {name}"
            ),
        ),
        None => Text::new(
            format!(
                "这个密封值不是为网关配置的 {name} 密封的（密封值不能挪到别处），或已损坏；请用 menlou secret seal --field {name} 重新密封"
            ),
            format!(
                "this was sealed for another place than {name} of the gateway's config (a sealed secret can't be moved), or it is damaged; seal it anew: menlou secret seal --field {name}"
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
    fn what_is_sealed_opens_in_its_own_field_only() {
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
            let told = keys.open(&sealed, field).unwrap_err();
            assert!(told.en.contains("sealed for another place than"), "{told:?}");
        }
        let told = keys.open(&sealed, Field { tenant: Some("b"), pointer: "/actions/x~1y/0/key" }).unwrap_err();
        assert!(told.en.contains("menlou secret seal --tenant b --field actions.x/y.0.key"), "{}", told.en);
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let (keys, _) = keys(1);
        assert_ne!(sealed(&keys), sealed(&keys));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, old_text) = keys(1);
        let before = sealed(&old);
        let (_, new_text) = keys(1);
        let both = Keys::parse(&format!("# new\n{new_text}\n{old_text}{old_text}").as_str().into()).unwrap();
        assert_eq!(both.ids().count(), 2, "the same key twice is one");
        assert_eq!(both.ids().nth(1), old.ids().next());
        assert!(both.open(&before, FIELD).is_ok());
        let after = sealed(&both);
        assert_eq!(Some(after.key()), both.ids().next());
        let told = old.open(&after, FIELD).unwrap_err();
        assert!(told.en.contains(after.key()) && told.en.contains(before.key()), "{told:?}");
    }

    #[test]
    fn whatever_is_changed_in_it_it_does_not_open() {
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
    fn what_is_no_sealed_secret_is_told_as_such() {
        for bad in
            ["", "abc", "v1:", "v1:00112233:", "v1:00112233:AAAA", "v1:0011:AAAA", "w1:00112233:AAAA", "v1:00112233:*"]
        {
            assert!(Sealed::parse(bad).unwrap_err().en.contains("incomplete or damaged"), "{bad}");
        }
        assert!(Sealed::parse("v2:whatever").unwrap_err().en.contains("newer"));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_never_shown() {
        let key = Keys::generate().unwrap();
        let key = key.expose_secret();
        for (text, says) in [
            (String::new(), "no key in it"),
            ("# only a comment\n".into(), "no key in it"),
            (format!("{key}\nhunter2"), "line 2"),
            (key[..key.len() - 1].to_owned(), "line 1"),
            (format!("{key}AAAA"), "line 1"),
            (key.replace(KEY, "menlou-key-v9-"), "line 1"),
        ] {
            let told = Keys::parse(&text.as_str().into()).unwrap_err();
            assert!(told.en.contains(says) && !told.en.contains("hunter2") && !told.en.contains(key), "{told:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let (keys, text) = keys(1);
        let shown = format!("{keys:?}");
        assert!(shown.len() < 20 && !text.contains(shown.trim_matches(['[', ']', '"'])), "{shown}");
    }
}
