//! Secrets as a config names them: by environment variable, by file, sealed, or literally; never printed.

pub use super::schema::is_secret;
use super::seal::Sealed;
use menlou_error::text::Text;
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, fmt, path::PathBuf};

/// The largest secret that is read from a file, in bytes.
pub const MAX_SECRET_SIZE: u64 = 64 * 1024;

/// A secret, or where it is. Its `Debug` shows the kind only, and it can neither be displayed nor serialised:
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
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`.
    File(PathBuf),
    /// `file:$CREDENTIALS_DIRECTORY/NAME`: a file that systemd hands over.
    Credential(String),
    /// `sealed:…`: what `menlou secret seal` prints.
    Sealed(Sealed),
    /// The secret itself.
    Literal(SecretString),
}

impl SecretRef {
    /// What `validate` says of a secret that stands in a file itself.
    pub const LITERAL: Text = Text::fixed(
        "密钥以明文写在文件中；可用 menlou secret seal 密封，或改为 \"env:变量名\"、\"file:路径\"",
        "the secret stands here in plain text; seal it with menlou secret seal, or write \"env:NAME\" or \"file:PATH\"",
    );

    /// Reads what stands in a config.
    ///
    /// A literal that looks like a reference of another kind (`vault:…`, `$NAME`, `${NAME}`) is refused: it would
    /// become a password that anyone can guess. Addresses of databases (`redis://…`, `postgres://…`) are literals.
    ///
    /// # Errors
    /// What is wrong with it, without its value.
    pub fn parse(written: &str) -> Result<Self, Text> {
        const FORMS: Text = Text::fixed(
            "无法识别的密钥写法；请用 \"env:变量名\"、\"file:路径\"、\"sealed:…\"（menlou secret seal 生成），或直接写密钥（不能像 \"方案:…\" 或 \"$…\"）",
            "this kind of secret is unknown; write \"env:NAME\", \"file:PATH\", \"sealed:…\" (which menlou secret seal makes), or the secret itself (which must not look like \"scheme:…\" or \"$…\")",
        );
        if written.trim().is_empty() {
            return Err(Text::fixed("密钥为空", "the secret is empty"));
        }
        if written.trim() != written {
            return Err(Text::fixed("密钥首尾有空白", "the secret has white space around it"));
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
                    "after \"env:\" comes the name of a variable: letters, digits, underscores",
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
        Ok(Self::Literal(written.to_owned().into()))
    }

    /// The secret where it stands there itself.
    pub fn literal(&self) -> Option<&SecretString> {
        match self {
            Self::Literal(secret) => Some(secret),
            _ => None,
        }
    }

    /// Whether it is outside the file that names it, in the environment or another file.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Env(_) | Self::File(_) | Self::Credential(_))
    }

    fn parse_file(path: &str) -> Result<Self, Text> {
        if path.is_empty() || path.contains('\0') {
            return Err(Text::fixed("\"file:\" 后应为文件路径", "after \"file:\" comes the path of a file"));
        }
        if !path.starts_with('$') {
            return Ok(Self::File(PathBuf::from(path)));
        }
        let folders = ["$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/"];
        match folders.iter().find_map(|folder| path.strip_prefix(folder)).filter(|name| !name.is_empty()) {
            Some(name) => Ok(Self::Credential(name.to_owned())),
            None => Err(Text::fixed(
                "\"file:\" 的路径中只能使用变量 $CREDENTIALS_DIRECTORY（systemd 凭据文件夹）：\"file:$CREDENTIALS_DIRECTORY/名称\"",
                "the only variable in the path of a file is $CREDENTIALS_DIRECTORY, systemd's folder of credentials: \"file:$CREDENTIALS_DIRECTORY/NAME\"",
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
    fn what_looks_like_another_kind_of_reference_is_never_taken_for_the_secret() {
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
