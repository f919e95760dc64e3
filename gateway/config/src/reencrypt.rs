//! Reencrypts the sealed secrets of a file with the first key. Every other byte of the file stays the same.

use super::{
    config_error::ConfigError,
    load::Document,
    seal::{Field, Keys, Sealed},
};
use menlou_error::text::Text;
use secrecy::zeroize::Zeroizing;

/// The result for one file. It has no `Debug` because the bytes may contain secrets.
pub struct Reencrypted {
    /// The new content of the file.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The fields that were reencrypted, each with the id of its previous key: `("wechat.secret", "0011aabb")`.
    pub fields: Vec<(String, String)>,
    /// Number of secrets that were already sealed with the first key.
    pub current: usize,
    /// Errors of secrets that cannot be opened; these stay unchanged.
    pub errors: Vec<ConfigError>,
}

/// Reencrypts the sealed secrets in `file`. `doc` is the parsed file; `tenant` is `None` for the gateway's own config.
///
/// # Errors
/// Where the system provides no random numbers.
pub fn reencrypt(doc: &Document, file: &[u8], tenant: Option<&str>, keys: &Keys) -> Result<Reencrypted, Text> {
    let mark = if file.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut done =
        Reencrypted { bytes: Zeroizing::new(Vec::new()), fields: Vec::new(), current: 0, errors: Vec::new() };
    let mut bytes = Zeroizing::new(Vec::with_capacity(file.len() + 256));
    let mut copied = 0;
    for (pointer, text, span) in doc.strings() {
        let Some(Ok(sealed)) = text.strip_prefix("sealed:").map(Sealed::parse) else { continue };
        if keys.ids().next() == Some(sealed.key()) {
            done.current += 1;
            continue;
        }
        let field = Field { tenant, pointer: &pointer };
        match keys.open(&sealed, field) {
            Ok(secret) => {
                let reencrypted = keys.seal(&secret, field)?;
                bytes.extend_from_slice(&file[copied..mark + span.start]);
                bytes.extend_from_slice(format!("\"{reencrypted}\"").as_bytes());
                copied = mark + span.end;
                done.fields.push((field.name(), sealed.key().to_owned()));
            }
            Err(text) => done.errors.push(doc.error_at(&pointer, text)),
        }
    }
    bytes.extend_from_slice(&file[copied..]);
    done.bytes = bytes;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretRef;
    use secrecy::{ExposeSecret, SecretString};

    fn key() -> SecretString {
        Keys::generate().unwrap()
    }

    fn keys(keys: &[&SecretString]) -> Keys {
        let text: String = keys.iter().map(|k| format!("{}\n", k.expose_secret())).collect();
        Keys::parse(&text.into()).unwrap()
    }

    fn sealed(keys: &Keys, tenant: &str, pointer: &str, secret: &str) -> String {
        keys.seal(&secret.into(), Field { tenant: Some(tenant), pointer }).unwrap().to_string()
    }

    #[test]
    fn only_sealed_values_change_and_comments_layout_line_ends_and_mark_stay() {
        let (old, new) = (key(), key());
        let (before, both) = (keys(&[&old]), keys(&[&new, &old]));
        let app = sealed(&before, "acme", "/wechat/secret", "app-secret");
        let list = sealed(&before, "acme", "/actions/a.b/keys/1", "a key");
        let current = sealed(&both, "acme", "/actions/x/key", "current");
        let file = format!(
            "\u{feff}# sealed:v1:… in a comment\r\n[wechat]\r\nappid='wx' # 保险\r\nsecret   =   '{app}'  # theirs\r\n\
             [actions.\"a.b\"]\r\nkeys = [ \"sealed: no\", \"\"\"{list}\"\"\", 3 ]\r\n[actions.x]\r\nkey = \"{current}\""
        );
        let doc = Document::parse("acme.toml", file.as_bytes()).unwrap();
        let done = reencrypt(&doc, file.as_bytes(), Some("acme"), &both).unwrap();
        let id = before.ids().next().unwrap().to_owned();
        assert_eq!(done.fields, [("wechat.secret".to_owned(), id.clone()), ("actions.a.b.keys.1".to_owned(), id)]);
        assert_eq!((done.current, done.errors.len()), (1, 0));

        let after = std::str::from_utf8(&done.bytes).unwrap();
        let doc = Document::parse("acme.toml", after.as_bytes()).unwrap();
        let only_new = keys(&[&new]);
        let mut undone = after.to_owned();
        for (pointer, quoted, secret) in [
            ("/wechat/secret", format!("'{app}'"), "app-secret"),
            ("/actions/a.b/keys/1", format!("\"\"\"{list}\"\"\""), "a key"),
        ] {
            let reencrypted = doc.value(pointer).unwrap().as_str().unwrap();
            let Ok(SecretRef::Sealed(sealed)) = SecretRef::parse(reencrypted) else { panic!("{reencrypted}") };
            let opened = only_new.open(&sealed, Field { tenant: Some("acme"), pointer }).unwrap();
            assert_eq!(opened.expose_secret(), secret);
            undone = undone.replace(&format!("\"{reencrypted}\""), &quoted);
        }
        assert_eq!(undone, file);
    }

    #[test]
    fn secrets_that_do_not_open_are_reported_and_stay_unchanged() {
        let (old, new, lost) = (key(), key(), key());
        let moved = sealed(&keys(&[&old]), "other", "/a", "x");
        let orphan = sealed(&keys(&[&lost]), "acme", "/b", "x");
        let file = format!("a = '{moved}'\nb = '{orphan}'\n");
        let doc = Document::parse("acme.toml", file.as_bytes()).unwrap();
        let done = reencrypt(&doc, file.as_bytes(), Some("acme"), &keys(&[&new, &old])).unwrap();
        assert_eq!(done.errors.iter().map(ConfigError::position).collect::<Vec<_>>(), [Some((1, 5)), Some((2, 5))]);
        assert!(done.fields.is_empty() && *done.bytes == file.as_bytes());
    }
}
