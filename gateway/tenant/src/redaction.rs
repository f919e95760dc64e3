//! A tenant file with its secrets masked.

use super::secret_pointers::PossibleSecrets;
use menlou_action::PluginRegistry;
use menlou_config::{
    load::Document,
    redacted::{Comments, mask},
    secret::SecretRef,
};

/// The text of a tenant file with its secrets masked. References to secrets (`env:…`, `file:…`) stay readable.
pub fn redact(doc: &Document, plugins: &PluginRegistry, comments: Comments) -> String {
    let secrets = PossibleSecrets::for_document(doc, plugins);
    mask(doc, comments, |pointer, value| {
        let is_reference = || matches!(SecretRef::parse(value), Ok(reference) if reference.is_elsewhere());
        // A URL may contain a password.
        let may_hold_password = value.contains("://") && value.contains('@');
        may_hold_password || secrets.has(pointer) && !is_reference()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"Acme\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"hunter2\" # x\n[actions.pay]\nplugin = \"none\"\nkey = \"k1\"\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    fn shown(text: &str) -> String {
        redact(&doc(text), &PluginRegistry::default(), Comments::All)
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
}
