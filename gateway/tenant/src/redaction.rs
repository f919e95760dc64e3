//! Which values of a tenant file are hidden, and from whom.

use super::secret_pointers::{PossibleSecrets, former_secret_pointers, secret_pointers};
use menlou_action::PluginRegistry;
use menlou_config::{
    load::Document,
    redacted::{Comments, mask},
    secret::SecretRef,
};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// The reader of a tenant file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Someone who may change the file: everything is shown that is no secret.
    Editor,
    /// Someone who may only read it, or the audit log: comments, and values whose name sounds like a secret, are hidden
    /// as well.
    Viewer,
}

/// Words that make the name of a setting sound like a secret.
const SECRET_WORDS: [&str; 16] = [
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "tokens",
    "key",
    "keys",
    "apikey",
    "credential",
    "credentials",
    "authorization",
    "bearer",
];

/// What of a tenant file is hidden.
pub(super) struct Redaction {
    audience: Audience,
    secrets: PossibleSecrets,
    /// Pointers of values that were secrets in an earlier version of a plugin.
    former: BTreeSet<String>,
    /// The secrets in the file themselves: a copy elsewhere is hidden, too.
    literals: HashSet<String>,
}

impl Redaction {
    /// For this reader of a document.
    pub fn new(doc: &Document, plugins: &PluginRegistry, audience: Audience) -> Self {
        let former = former_secret_pointers(doc, plugins);
        let known = secret_pointers(doc, plugins);
        let literal = |pointer: &String| {
            let written = doc.value(pointer)?.as_str()?;
            (!is_reference(written)).then(|| written.to_owned())
        };
        let literals = known.iter().chain(&former).filter_map(literal).collect();
        Self { audience, secrets: PossibleSecrets::for_document(doc, plugins), former, literals }
    }

    /// Whether the scalar value at this pointer is hidden. References to secrets (`env:…`, `file:…`) are shown.
    pub fn hides(&self, pointer: &str, value: &Value) -> bool {
        let is_secret =
            || self.former.contains(pointer) || self.audience == Audience::Viewer && sounds_like_secret(pointer);
        match value {
            Value::String(text) => {
                // A URL may contain a password.
                let may_hold_password = text.contains("://") && text.contains('@');
                may_hold_password
                    || text.starts_with("sealed:")
                    || self.literals.contains(text)
                    || (self.secrets.has(pointer) || is_secret()) && !is_reference(text)
            }
            Value::Number(_) => self.secrets.is_known(pointer) || is_secret(),
            _ => false,
        }
    }

    /// A value with everything in it replaced by `mask` that is hidden.
    pub fn masked(&self, pointer: &str, value: &Value, mask: &str) -> Value {
        match value {
            Value::Object(table) => {
                let below = |key: &String| format!("{pointer}/{}", menlou_config::schema::escape(key));
                table.iter().map(|(key, value)| (key.clone(), self.masked(&below(key), value, mask))).collect()
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(at, item)| self.masked(&format!("{pointer}/{at}"), item, mask)).collect()
            }
            value if self.hides(pointer, value) => Value::String(mask.to_owned()),
            value => value.clone(),
        }
    }
}

/// The text of a tenant file with its secrets masked, for this reader.
pub fn redact(doc: &Document, plugins: &PluginRegistry, audience: Audience) -> String {
    let redaction = Redaction::new(doc, plugins, audience);
    let comments = match audience {
        Audience::Editor => Comments::All,
        Audience::Viewer => Comments::Hidden,
    };
    mask(doc, comments, |pointer, value| redaction.hides(pointer, value))
}

fn is_reference(written: &str) -> bool {
    SecretRef::parse(written).is_ok_and(|reference| reference.is_elsewhere())
}

/// Whether a key below the action, or below the file's own tables, contains a word for a secret: `app_secret`, `apiKey`.
fn sounds_like_secret(pointer: &str) -> bool {
    let keys = pointer.split('/').skip(1);
    // The name of an action is no setting.
    let skipped = if pointer.starts_with("/actions/") { 2 } else { 0 };
    keys.skip(skipped).any(|key| words(key).iter().any(|word| SECRET_WORDS.contains(&word.as_str())))
}

/// The words of a name, in lower case: `app_secret`, `appSecret` and `APP-SECRET` have two.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut was_lower) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && was_lower {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"Acme\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"hunter2\" # x\n[actions.pay]\nplugin = \"none\"\nkey = \"k1\"\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    fn shown(text: &str) -> String {
        redact(&doc(text), &PluginRegistry::default(), Audience::Editor)
    }

    #[test]
    fn a_literal_is_masked_and_a_reference_is_shown() {
        assert!(shown(FILE).contains("secret = \"masked:\" # x\n"));
        for reference in ["env:S", "file:$CREDENTIALS_DIRECTORY/s"] {
            assert!(shown(&FILE.replace("hunter2", reference)).contains(reference), "{reference}");
        }
        assert!(shown(&FILE.replace("hunter2", "sealed:abc")).contains("secret = \"masked:\" # x\n"));
    }

    #[test]
    fn without_a_schema_every_string_is_masked() {
        assert!(shown(FILE).ends_with("plugin = \"none\"\nkey = \"masked:\"\n"), "{}", shown(FILE));
        let misspelt = shown(&FILE.replace("secret", "secrte"));
        assert!(misspelt.contains("secrte = \"masked:\"") && misspelt.contains("appid = \"masked:\""), "{misspelt}");
        let address = shown(&FILE.replace("secret =", "base_url = \"http://u:p@h\"\nsecret ="));
        assert!(address.contains("base_url = \"masked:\""), "{address}");
    }

    #[test]
    fn an_error_hides_only_what_it_makes_unknown() {
        for session in ["ttl = \"7 days\"", "ttl = 7", "tll = \"7d\"", "ttl = [\"7d\"]"] {
            let text = shown(&format!("{FILE}[session]\n{session}\n"));
            assert!(text.contains("appid = \"wx4f4bc4dec97d474b\"") && !text.contains("hunter2"), "{session}: {text}");
        }
        let no_name = shown(&FILE.replace("name = \"Acme\"\n", ""));
        assert!(no_name.contains("appid = \"wx4f4bc4dec97d474b\"") && !no_name.contains("hunter2"), "{no_name}");
        for secret in [
            FILE.replace("appid = \"wx4f4bc4dec97d474b\"", "appid = \"hunter2\""),
            FILE.replace("\"hunter2\"", "[\"hunter2\"]"),
            FILE.replace("\"hunter2\"", "{ x = \"hunter2\" }"),
            FILE.replace("[wechat]", "[wehcat]"),
            FILE.replace("secret = \"hunter2\"", "# gone").replace("wx4f4bc4dec97d474b", "hunter2"),
            FILE.replace("\"hunter2\"", "1234567").replace("hunter2", "1234567"),
        ] {
            let text = shown(&secret);
            assert!(!text.contains("hunter2") && !text.contains("1234567"), "{secret}\n{text}");
        }
    }

    #[test]
    fn a_copy_of_a_secret_and_what_is_sealed_is_masked_anywhere() {
        let text = shown(&FILE.replace("Acme", "hunter2"));
        assert!(text.starts_with("name = \"masked:\"\n"), "{text}");
        let text = shown(&FILE.replace("Acme", "sealed:k1:abc"));
        assert!(text.starts_with("name = \"masked:\"\n"), "{text}");
    }

    #[test]
    fn a_viewer_sees_no_comment_and_no_name_that_sounds_like_a_secret() {
        let viewed = redact(&doc(&format!("# old: hunter1\n{FILE}")), &PluginRegistry::default(), Audience::Viewer);
        assert!(
            viewed.starts_with("# …\nname = \"Acme\"\n") && viewed.contains("secret = \"masked:\" # …\n"),
            "{viewed}"
        );
        for name in ["/actions/x/app_secret", "/actions/x/appSecret", "/actions/x/API-KEY", "/actions/x/a/tokens/0"] {
            assert!(sounds_like_secret(name), "{name}");
        }
        for name in ["/actions/token/methods", "/actions/x/pass_headers/0", "/session/ttl", "/actions/x/keyboard"] {
            assert!(!sounds_like_secret(name), "{name}");
        }
    }
}
