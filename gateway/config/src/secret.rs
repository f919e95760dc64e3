//! References to secrets in configs: an environment variable, a file, a sealed secret, or the secret itself. Secrets
//! are never printed.

pub use super::schema::is_secret;
use super::{seal::Sealed, secret_text};
use menlou_error::text::Text;
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, fmt, path::PathBuf};

/// Maximum size of a secret in a file, in bytes.
pub const MAX_SECRET_SIZE: u64 = 64 * 1024;

/// A secret, or a reference to one. `Debug` shows the kind only; the type implements neither `Display` nor `Serialize`:
///
/// ```compile_fail
/// let secret = menlou::config::secret::SecretRef::parse("hunter2").unwrap();
/// println!("{secret}");
/// ```
/// ```compile_fail
/// let secret = menlou::config::secret::SecretRef::parse("hunter2").unwrap();
/// serde_json::to_string(&secret);
/// ```
#[derive(Clone)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file.
    File(PathBuf),
    /// `file:$CREDENTIALS_DIRECTORY/NAME`: a file in systemd's credentials directory.
    Credential(String),
    /// `sealed:…`: the output of `menlou secret seal`.
    Sealed(Sealed),
    /// The secret itself.
    Literal(SecretString),
}

impl SecretRef {
    /// The warning of `validate` for a secret in plain text.
    pub const LITERAL: Text = Text::fixed(
        "密钥以明文写在文件中；可用 menlou secret seal 密封，或改为 \"env:变量名\"、\"file:路径\"",
        "the secret is in plain text; seal it with menlou secret seal, or write \"env:NAME\" or \"file:PATH\"",
    );

    /// Parses a secret in a config.
    ///
    /// A literal that looks like another kind of reference (`vault:…`, `$NAME`, `${NAME}`) is rejected: otherwise the
    /// reference itself would become a password that anyone can guess. Database URLs (`redis://…`, `postgres://…`) are
    /// literals.
    ///
    /// # Errors
    /// The text is malformed. The error does not contain it.
    pub fn parse(written: &str) -> Result<Self, Text> {
        const FORMS: Text = Text::fixed(
            "无法识别的密钥写法；请用 \"env:变量名\"、\"file:路径\"、\"sealed:…\"（menlou secret seal 生成），或直接写密钥（不能像 \"方案:…\" 或 \"$…\"）",
            "unknown kind of secret; write \"env:NAME\", \"file:PATH\", \"sealed:…\" (made by menlou secret seal), or the secret itself (which must not look like \"scheme:…\" or \"$…\")",
        );
        if written.trim().is_empty() {
            return Err(Text::fixed("密钥为空", "the secret is empty"));
        }
        if written.trim() != written {
            return Err(Text::fixed("密钥首尾有空白", "the secret has leading or trailing white space"));
        }
        if let Some(name) = written.strip_prefix("env:") {
            let valid = !name.starts_with(|c: char| c.is_ascii_digit())
                && (1..=256).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if valid {
                Ok(Self::Env(name.to_owned()))
            } else {
                Err(Text::fixed(
                    "\"env:\" 后应为变量名（字母、数字、下划线）",
                    "\"env:\" must be followed by the name of a variable: letters, digits and underscores",
                ))
            };
        }
        if let Some(path) = written.strip_prefix("file:") {
            return Self::parse_file(path);
        }
        if let Some(sealed) = written.strip_prefix("sealed:") {
            return Sealed::parse(sealed).map(Self::Sealed);
        }
        if written.starts_with('$') || has_foreign_scheme(written) {
            return Err(FORMS);
        }
        secret_text::normalize(written, "密钥", "the secret")?;
        Ok(Self::Literal(written.to_owned().into()))
    }

    /// The secret, if it is in plain text.
    pub fn literal(&self) -> Option<&SecretString> {
        match self {
            Self::Literal(secret) => Some(secret),
            _ => None,
        }
    }

    /// Whether the secret is outside the file, in the environment or in another file.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Env(_) | Self::File(_) | Self::Credential(_))
    }

    fn parse_file(path: &str) -> Result<Self, Text> {
        if path.is_empty() || path.contains('\0') {
            return Err(Text::fixed("\"file:\" 后应为文件路径", "\"file:\" must be followed by the path of a file"));
        }
        if !path.starts_with('$') {
            return Ok(Self::File(PathBuf::from(path)));
        }
        let folders = ["$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/"];
        match folders.iter().find_map(|folder| path.strip_prefix(folder)).filter(|name| !name.is_empty()) {
            Some(name) => Ok(Self::Credential(name.to_owned())),
            None => Err(Text::fixed(
                "\"file:\" 的路径中只能使用变量 $CREDENTIALS_DIRECTORY（systemd 凭据文件夹）：\"file:$CREDENTIALS_DIRECTORY/名称\"",
                "the path may only contain the variable $CREDENTIALS_DIRECTORY, systemd's credentials directory: \"file:$CREDENTIALS_DIRECTORY/NAME\"",
            )),
        }
    }
}

fn has_foreign_scheme(written: &str) -> bool {
    const ADDRESSES: [&str; 10] = [
        "redis://",
        "rediss://",
        "redis+sentinel://",
        "rediss+sentinel://",
        "redis+cluster://",
        "rediss+cluster://",
        "postgres://",
        "postgresql://",
        "http://",
        "https://",
    ];
    let Some((scheme, _)) = written.split_once(':') else { return false };
    let like_a_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.len() <= 32
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'));
    like_a_scheme && !ADDRESSES.iter().any(|a| written.starts_with(a))
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env(_) => "SecretRef::Env",
            Self::File(_) => "SecretRef::File",
            Self::Credential(_) => "SecretRef::Credential",
            Self::Sealed(_) => "SecretRef::Sealed",
            Self::Literal(_) => "SecretRef::Literal",
        })
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&written).map_err(|text| serde::de::Error::custom(text.en))
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        json_schema!({ "type": "string", "format": "secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_another_reference_is_not_accepted_as_a_secret() {
        for written in [
            "",
            " ",
            "env:",
            "env:A-B",
            "env:1A",
            "env: A",
            "file:",
            "ENV:A",
            "file:$HOME/secret",
            "file:$CREDENTIALS_DIRECTORY",
            "file:${CREDENTIALS_DIRECTORY}/",
            "sealed:abc",
            "sealed:",
            "vault:kv/x",
            "$env://X",
            "$X",
            "${X}",
            "aws-sm:x",
            " literal",
            "literal\n",
        ] {
            assert!(SecretRef::parse(written).is_err(), "{written:?}");
        }
    }

    #[test]
    fn debug_shows_the_kind_only() {
        assert_eq!(format!("{:?}", SecretRef::parse("hunter2").unwrap()), "SecretRef::Literal");
    }
}
